"""The KV cache, exactly, layer by layer, as llama.cpp and its kin keep it.

bytes = sum over layers of cells * heads * (key width + value width) * bytes a value, where a layer with
a window has only so many cells as it sees and one block adds; plus the states of layers without
attention, in float32. Sterna's own engine tells its own figures (`backend.advice`).
"""

from collections.abc import Sequence
from fractions import Fraction

from backend import quants
from backend.errors import SternaError
from backend.fit.layers import Layer

KV_TYPES = ("f16", "q8_0", "f32", "bf16", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
_PAD = 256  # cells are allotted by so many
BLOCK = 512  # tokens of a prompt that are run at once


def value_bytes(kv: str) -> Fraction:
    """Return the bytes of one value in a cache of this type: 34/32 for q8_0. Raises SternaError."""
    if kv not in KV_TYPES:
        raise SternaError(
            "bad_argument", f"The KV cache cannot be {kv}.", f"Choose one of {', '.join(KV_TYPES)}."
        )
    kind = quants.type_named(kv.upper())
    return Fraction(kind.type_size, kind.block_size)


def cells(layer: Layer, context: int, block: int = BLOCK) -> int:
    """Return how many positions a layer keeps."""
    seen = min(context, layer.window + block) if layer.window else context
    return -(-seen // _PAD) * _PAD


def cache_bytes(
    layers: Sequence[Layer],
    context: int,
    keys: str = "f16",
    values: str | None = None,
    block: int = BLOCK,
) -> int:
    """Return the bytes of keys, values and states for a sequence of `context` tokens."""
    return sum(layer_bytes(layer, context, keys, values, block) for layer in layers)


def layer_bytes(
    layer: Layer, context: int, keys: str, values: str | None = None, block: int = BLOCK
) -> int:
    """Return the bytes of one layer."""
    each = layer.key_width * value_bytes(keys) + layer.value_width * value_bytes(values or keys)
    return round(cells(layer, context, block) * layer.kv_heads * each) + 4 * layer.state
