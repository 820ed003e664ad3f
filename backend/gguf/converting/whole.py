"""Whether a checkpoint is all there: better told before an hour of writing than when the file is opened."""

import re
from collections.abc import Mapping
from typing import Protocol

from backend.gguf.converting.documents import Config, bad_checkpoint

_LAYER = re.compile(r"blk\.(\d+)\.(.+)")
_ROUTER = "ffn_gate_inp.weight"


class Shaped(Protocol):
    """Anything with a shape in ggml's order."""

    @property
    def shape(self) -> tuple[int, ...]: ...


def check_whole(tensors: Mapping[str, Shaped], config: Config) -> None:
    """Raise SternaError where a tensor is missing or shaped unlike its fellows in other layers."""
    table, hidden = tensors.get("token_embd.weight"), config.integer("hidden_size", least=1)
    if table is None:
        raise bad_checkpoint("it has no table of token embeddings")
    if len(table.shape) != 2 or table.shape[0] != hidden:
        raise bad_checkpoint(f"its embeddings are {list(table.shape)}, its config says {hidden}")
    head = tensors.get("output.weight", table)
    if head.shape != table.shape:
        raise bad_checkpoint(f"its output matrix is {list(head.shape)}, not {list(table.shape)}")
    if "output_norm.weight" not in tensors:
        raise bad_checkpoint("its last norm is missing")
    layers: list[dict[str, Shaped]] = [{} for _ in range(config.integer("num_hidden_layers"))]
    for name, tensor in tensors.items():
        if match := _LAYER.fullmatch(name):
            layers[int(match[1])][match[2]] = tensor
    for mixed in (False, True):  # layers with experts and layers without are two kinds
        alike = {i: layer for i, layer in enumerate(layers) if (_ROUTER in layer) == mixed}
        _compare(alike)


def _compare(layers: dict[int, dict[str, Shaped]]) -> None:
    """Every layer has what any has, in the same shape."""
    seen: dict[str, tuple[int, ...]] = {}
    for layer in layers.values():
        for part, tensor in layer.items():
            seen.setdefault(part, tensor.shape)
    for number, layer in layers.items():
        for part, shape in seen.items():
            if part not in layer:
                raise bad_checkpoint(f"layer {number} lacks {part}")
            if layer[part].shape != shape:
                found = list(layer[part].shape)
                raise bad_checkpoint(
                    f"{part} of layer {number} is {found}, of others {list(shape)}"
                )
    if layers and not seen:
        raise bad_checkpoint(f"its {len(layers)} layers have no tensors")
