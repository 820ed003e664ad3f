"""LoRA adapters in GGUF files, as llama.cpp writes them, put beside a loaded model's products.

y = W x + scale * alpha / rank * B (A x) (Hu et al. 2021). A file has `general.type` adapter, `adapter.type`
lora, `adapter.lora.alpha` (0: the scale alone) and, for a tensor NAME of the base, NAME.lora_a [rank, in]
and NAME.lora_b [out, rank]; of token_embd.weight, A is [vocabulary, rank]. The rows of q and k are in the
base file's order.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf import GGUFFile, TensorInfo, open_gguf
from backend.machine import available_memory
from backend.text import clean
from backend.units import human_bytes
from ext.quants import dequantise, row_bytes

_F32 = 0
MAX_RANKS = 4096  # of all adapters on one tensor
_HALVES = (".lora_a", ".lora_b")
_OTHER_BASE = "Take the model that it was trained on."

Spec = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Pair:
    """A and B of one tensor, float32 [rank, in] and [out, rank]. `factor`: alpha / rank.

    `exact`: the file has one of them in float32. What it has in fewer bits half precision holds.
    """

    down: npt.NDArray[np.float32]
    up: npt.NDArray[np.float32]
    factor: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter file in memory, each tensor's pair under the tensor's name."""

    path: Path
    name: str
    arch: str
    pairs: dict[str, Pair]


def parse_spec(spec: Spec) -> tuple[Path, float]:
    """Return path and scale of `FILE[:SCALE]`; a file whose name ends like that is itself."""
    text = os.fspath(spec)
    path, colon, tail = text.rpartition(":")
    if colon and path and not Path(text).exists():
        try:
            scale = float(tail)
        except ValueError:
            return Path(text), 1.0
        if math.isfinite(scale):
            return Path(path), scale
        raise SternaError(
            "bad_argument", f"{tail} is no scale for an adapter.", "Give FILE or FILE:SCALE."
        )
    return Path(text), 1.0


def parse_specs(adapter: Spec | Sequence[Spec] | None) -> list[tuple[Path, float]]:
    """Return path and scale of each of none, one or several specs."""
    if adapter is None:
        return []
    if isinstance(adapter, str | os.PathLike):
        return [parse_spec(adapter)]
    return [parse_spec(spec) for spec in adapter]


def read_adapter(path: Path) -> Adapter:
    """Read an adapter; raises SternaError for what is damaged, or no LoRA adapter."""
    with open_gguf(path) as file:
        _check_kind(file)
        if sum(t.nbytes for t in file.tensors.values()) * 4 > available_memory():
            raise SternaError(
                "out_of_memory",
                f"The adapter {path.name} has {human_bytes(file.size)}, for which there is no memory.",
                "Close other programs.",
            )
        alpha = file.number("adapter.lora.alpha", 0.0) or 0.0
        if not math.isfinite(alpha):
            raise _damaged(path, "its alpha is no number")
        pairs = {}
        for name in _targets(file):
            pairs[name] = _pair(file, name, alpha)
        return Adapter(path, file.string("general.name") or path.stem, file.architecture, pairs)


def _damaged(path: Path, what: str) -> SternaError:
    return SternaError(
        "corrupt", f"The adapter {path.name} is damaged: {what}.", "Export or download it again."
    )


def _check_kind(file: GGUFFile) -> None:
    kind, sort = file.string("general.type"), file.string("adapter.type")
    if kind != "adapter":
        raise SternaError(
            "not_an_adapter",
            f"{file.path.name} is a {kind or 'model'}, not an adapter.",
            "Give a LoRA adapter in a GGUF file.",
        )
    if sort != "lora" or file.count("adapter.alora.invocation_tokens"):
        said = (
            "one that is switched on by tokens (aLoRA)" if sort == "lora" else f"of the type {sort}"
        )
        raise SternaError(
            "unsupported_adapter",
            f"The adapter {file.path.name} is {said}, which Sterna's engine lacks.",
            "Merge it into its model, or serve it by llama-server.",
        )


def _targets(file: GGUFFile) -> list[str]:
    """Return the names of the tensors that it changes."""
    names: dict[str, None] = {}
    for name in file.tensors:
        if not name.endswith(_HALVES):
            raise SternaError(
                "unsupported_adapter",
                f"The adapter {file.path.name} replaces {clean(name)}, which Sterna's engine does not do.",
                "Merge it into its model, or train without other modules to save.",
            )
        names[name[: -len(_HALVES[0])]] = None
    if not names:
        raise _damaged(file.path, "it changes nothing")
    for name in names:
        for half in _HALVES:
            if name + half not in file.tensors:
                raise _damaged(file.path, f"it lacks {clean(name + half)}")
    return list(names)


def _values(file: GGUFFile, name: str) -> npt.NDArray[np.float32]:
    info: TensorInfo = file.tensors[name]
    if len(info.shape) != 2:
        raise SternaError(
            "unsupported_adapter",
            f"The adapter {file.path.name} changes experts ({clean(name)}), which Sterna's engine does not do.",
            "Merge it into its model, or serve it by llama-server.",
        )
    if row_bytes(info.type, info.shape[0]) == 0 or 0 in info.shape:
        raise _damaged(file.path, f"{clean(name)} has a type or a shape that cannot be read")
    values = dequantise(info.type, file.data(name), info.shape[1], info.shape[0])
    if not np.isfinite(values).all():
        raise _damaged(file.path, f"{clean(name)} holds values that are no numbers")
    return values


def _pair(file: GGUFFile, name: str, alpha: float) -> Pair:
    down, up = (_values(file, name + half) for half in _HALVES)
    rank = up.shape[1]
    if name == "token_embd.weight":
        down = down.T  # a table in the file, by id
    if down.shape[0] != rank or rank > MAX_RANKS:
        raise _damaged(
            file.path, f"the ranks of {clean(name)} are {down.shape[0]} and {up.shape[1]}"
        )
    exact = any(file.tensors[name + half].type == _F32 for half in _HALVES)
    return Pair(down, up, alpha / rank if alpha else 1.0, exact)


def check_fits(adapter: Adapter, arch: str, shapes: dict[str, tuple[int, int]]) -> None:
    """Raise SternaError unless the adapter changes tensors of this base; `shapes`: (out, in) by name."""
    if adapter.arch != arch:
        raise SternaError(
            "wrong_adapter",
            f"The adapter {adapter.path.name} is for {clean(adapter.arch) or 'no architecture'}, and this model is {arch}.",
            _OTHER_BASE,
        )
    for name, pair in adapter.pairs.items():
        shape = shapes.get(name)
        if shape is None:
            raise SternaError(
                "wrong_adapter",
                f"The adapter {adapter.path.name} changes {clean(name)}, which this model does not have.",
                _OTHER_BASE,
            )
        wanted = shape[::-1] if name == "token_embd.weight" else shape
        if (pair.up.shape[0], pair.down.shape[1]) != wanted:
            raise SternaError(
                "wrong_adapter",
                f"The adapter {adapter.path.name} is for a model of another size: its {clean(name)} is "
                f"{pair.up.shape[0]} x {pair.down.shape[1]}, and here {wanted[0]} x {wanted[1]}.",
                _OTHER_BASE,
            )
