"""The GGUF model that an adapter is for: its architecture, heads, and the shapes of its tensors."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import SternaError
from backend.gguf import describe, open_gguf
from backend.train.export.learned import Change
from backend.train.shape import config_shape
from backend.train.source import Source
from backend.train.tensor_names import ARCHITECTURES, Floats, paired, tensor_of, to_pairs


@dataclass(frozen=True, slots=True)
class Target:
    """`shapes`: (outputs, inputs) of its matrices by tensor name."""

    arch: str
    heads: int
    kv_heads: int
    name: str
    shapes: dict[str, tuple[int, int]]

    def tensor(self, module: str) -> str:
        """Return the tensor that a module is. Raises SternaError `unsupported_arch`."""
        stem = tensor_of(self.arch, module)
        if stem is None or stem == "output":
            raise SternaError(
                "unsupported_arch",
                f"{module} has no place in a GGUF file of {self.arch}.",
                "Merge the adapter into its base instead.",
            )
        return f"{stem}.weight"

    def rows(self, tensor: str, values: Floats) -> Floats:
        """Put rows in the order of the file."""
        stem = tensor.removesuffix(".weight")
        if not paired(self.arch, stem):
            return values
        return to_pairs(values, self.heads if stem.endswith("attn_q") else self.kv_heads)

    def fit(self, change: Change, tensor: str) -> Change:
        """Return the change of a tensor. Raises SternaError `wrong_base` where sizes differ."""
        expected = self.shapes.get(tensor)
        if expected is None:
            raise SternaError(
                "wrong_base", f"{self.name} has no matrix {tensor}.", "Name the adapter's own base."
            )
        fitting = change.fitting(expected[1])
        if (fitting.b.shape[0], fitting.a.shape[1]) != expected:
            raise SternaError(
                "wrong_base",
                f"{tensor} of {self.name} is {expected[0]} by {expected[1]}, the adapter's "
                f"{fitting.b.shape[0]} by {fitting.a.shape[1]}.",
                "Name the adapter's own base.",
            )
        return fitting


def target_of(source: Source) -> Target:
    """Return what an adapter of this base is for. Raises SternaError."""
    return _of_gguf(source.path) if source.kind == "gguf" else _of_folder(source.path)


def _of_gguf(path: Path) -> Target:
    with open_gguf(path) as file:
        card = describe(file)
        shapes = {
            t.name: (t.shape[1], t.shape[0]) for t in file.tensors.values() if len(t.shape) == 2
        }
    heads = card.heads or 1
    return Target(card.arch, heads, card.kv_heads or heads, path.name, shapes)


def _of_folder(folder: Path) -> Target:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= config.get("text_config") or {}
    arch = ARCHITECTURES.get(str(config.get("model_type")))
    if arch is None:
        raise SternaError(
            "unsupported_arch",
            f"There is no GGUF form of {config.get('model_type')} that Sterna knows.",
            "Merge the adapter into its base instead.",
        )
    shape = config_shape(config)
    shapes = {
        f"{tensor}.weight": (m.outputs, m.inputs)
        for m in shape.matrices
        for layer in range(shape.layers)
        for part in ("self_attn", "mlp")
        if (tensor := tensor_of(arch, f"model.layers.{layer}.{part}.{m.module}"))
    }
    return Target(arch, shape.heads, shape.kv_heads, folder.name, shapes)
