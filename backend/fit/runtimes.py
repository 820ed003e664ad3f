"""What llama.cpp, and the programs built on it, would need on a GPU with a share of the layers.

Sizes of their work buffers are derived from published logs; they are estimates, and say so. Our own
engine is asked instead (`backend.advice`).
"""

from dataclasses import dataclass

from backend.fit.cache import BLOCK, cache_bytes, layer_bytes
from backend.fit.model import Model

_FOOTPRINT = 250 << 20  # bytes that the GPU's driver and libraries take for a process
_TABLE, _HEAD = "token_embd.weight", "output.weight"


@dataclass(frozen=True, slots=True)
class Offload:
    """How a model would be divided: `layers` of `of` on the GPU; bytes there and in the computer."""

    layers: int
    of: int
    vram: int
    ram: int

    @property
    def whole(self) -> bool:
        """Whether all of it is on the GPU."""
        return self.layers == self.of


def compute_bytes(model: Model, context: int, *, flash: bool = True, block: int = BLOCK) -> int:
    """Return the bytes of work buffers for a block of tokens.

    They are as large as the greatest of two moments. Attention: the mask, four vectors, and without
    flash attention the scores of all heads (Mistral 7B at 32k: 32 * 32768 * 512 * 4 bytes and 96 MiB
    of the rest; its log has 2144 MiB). Output: the logits of all tokens and two vectors (Qwen3.5 9B:
    501 MiB by both).
    """
    attends = any(layer.kv_heads for layer in model.layers)
    positions = -(-context // 256) * 256
    scores = (6 if flash else 4 + 4 * model.heads) * positions if attends else 0
    attention = block * (scores + 16 * model.embedding)
    return max(attention, 4 * block * (model.vocab + 2 * model.embedding))


def offload(
    model: Model, context: int, kv: str, vram: int | None, *, flash: bool = True
) -> Offload:
    """Divide a model: as many layers from its end on the GPU as `vram` bytes hold; None: all of them.

    The output matrix counts as a layer, as these programs count. The table of embeddings stays in the
    computer, and a model without an output matrix of its own has it twice.
    """
    of = len(model.layers) + 1
    by_layer = _layer_weights(model)
    table = model.tensors[_TABLE].nbytes
    head = model.tensors[_HEAD].nbytes if _HEAD in model.tensors else table
    loads = [head]
    for i in reversed(range(len(model.layers))):
        loads.append(by_layer.get(i, 0) + layer_bytes(model.layers[i], context, kv))
    rest = model.file_bytes - sum(by_layer.values()) - table
    rest -= head if _HEAD in model.tensors else 0
    buffers = compute_bytes(model, context, flash=flash)
    everything = model.file_bytes + cache_bytes(model.layers, context, kv)
    used, taken = buffers + _FOOTPRINT + rest, 0
    for load in loads:
        if vram is not None and used + load > vram:
            break
        used, taken = used + load, taken + 1
    if not taken:
        return Offload(0, of, 0, everything + buffers)
    on_gpu = sum(loads[:taken]) + rest
    in_computer = everything + (head if _HEAD not in model.tensors else 0) - on_gpu
    return Offload(taken, of, used, in_computer + (buffers if taken < of else 0))


def _layer_weights(model: Model) -> dict[int, int]:
    sums: dict[int, int] = {}
    for name, tensor in model.tensors.items():
        parts = name.split(".", 2)
        if parts[0] == "blk" and len(parts) == 3 and parts[1].isdecimal():
            sums[int(parts[1])] = sums.get(int(parts[1]), 0) + tensor.nbytes
    return sums
