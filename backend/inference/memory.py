"""Will it fit? Asked before anything large is allocated, so that the answer is a sentence and not a
killed process.
"""

from dataclasses import dataclass

from backend.errors import SternaError
from backend.inference.hyper import Hyper
from backend.inference.source import Source
from backend.machine import available_memory
from backend.units import human_bytes
from ext.matrix import held_bytes
from ext.steps import buffer_bytes as of_buffer
from ext.steps import shared_bytes

BLOCK_TOKENS = 264  # tokens run at once in a prompt: 22 tiles of the prefill kernels
SMALL_CACHE = 64 << 20  # a cache below this is kept in float32: it costs nothing and rounds nothing
_MARGIN = 64 << 20  # Python, tokenizer, stacks
_TILE = 64  # positions that attention takes at once: a ring is a multiple of it


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model will be held, in bytes."""

    context: int
    kv: str
    weights: int
    cache: int
    buffers: int

    @property
    def total(self) -> int:
        """Everything together."""
        return self.weights + self.cache + self.buffers


KV_TYPES = ("auto", "f32", "f16", "q8_0")


def cache_positions(window: int, context: int, block: int = BLOCK_TOKENS) -> int:
    """Return how many positions the cache of a layer holds: all, or a ring of its window and one block.

    A block is written before it is read, so its first token's window must lie beside all of the block.
    """
    ring = -(-(window - 1 + block) // _TILE) * _TILE
    return ring if window and ring < context else context


def cache_bytes(h: Hyper, context: int, kv: str, block: int = BLOCK_TOKENS) -> int:
    """Return the bytes of keys and values of all layers for `context` positions, as they will lie."""
    each = {"f32": 4, "f16": 2, "q8_0": 1}[kv]
    groups = (
        2 * (-(-h.key_width // 32)),
        2 * (-(-h.value_width // 32)),
    )  # bytes of scales a position
    total = 0
    for window in h.windows:
        values = cache_positions(window, context, block)
        keys = -(-values // 16) * 16
        total += keys * h.key_width * each + values * (-(-h.value_width // 16) * 16) * each
        if kv == "q8_0":
            total += keys * groups[0] + values * groups[1]
    return h.kv_heads * total


def buffer_bytes(h: Hyper, threads: int, block: int = BLOCK_TOKENS) -> int:
    """Return the bytes of the work buffers: values between steps, inputs of products, sums, logits.

    The pages of what a short prompt does not use are never touched, so less may be resident.
    """
    heads, mixed = (h.heads + h.kv_heads) * h.key_width, h.heads * h.value_width
    widths = h.embedding + heads + h.kv_heads * h.value_width + mixed + 2 * h.feed_forward + h.vocab
    if h.traits.post_norms:
        widths += h.embedding
    widest = max(h.embedding, mixed, h.feed_forward)
    return of_buffer(widths, block) + shared_bytes(
        threads, block, widest, h.heads, h.value_width, h.vocab
    )


def weight_bytes(source: Source) -> int:
    """Return the bytes of the weights in the layouts that they are computed in."""
    total = 0
    for tensor in source.tensors.values():
        cols = tensor.shape[0] if tensor.shape else 1
        rows = tensor.elements // max(cols, 1)
        total += held_bytes(tensor.type, rows, cols) if len(tensor.shape) > 1 else 4 * cols
    return total


def estimate(source: Source, h: Hyper, context: int, kv: str, threads: int) -> Plan:
    """Return what a model would take, without touching its weights; `kv` may be auto."""
    if kv == "auto":
        kv = "f16" if cache_bytes(h, context, "f32") > SMALL_CACHE else "f32"
    cache = cache_bytes(h, context, kv)
    return Plan(context, kv, weight_bytes(source), cache, buffer_bytes(h, threads))


def plan(source: Source, h: Hyper, context: int | None, kv: str, threads: int) -> Plan:
    """Choose the context and the type of the cache, or raise SternaError with what would fit."""
    if kv not in KV_TYPES:
        raise SternaError(
            "bad_argument", f"The KV cache cannot be {kv}.", f"Choose one of {', '.join(KV_TYPES)}."
        )
    if context is not None and not 0 < context <= h.context:
        raise SternaError(
            "bad_argument",
            f"A context of {context} is not possible: this model was made for {h.context}.",
            f"Choose from 1 to {h.context}.",
        )
    free = available_memory()
    wanted = context or min(h.context, 8192)
    best = estimate(source, h, wanted, kv, threads)
    while context is None and wanted > 512 and best.total + _MARGIN > free:
        wanted //= 2  # the user asked for no length: take what fits, the screen shows it
        best = estimate(source, h, wanted, kv, threads)
    if best.total + _MARGIN > free:
        raise SternaError(
            "out_of_memory",
            f"This needs {human_bytes(best.total + _MARGIN)} of memory (weights {human_bytes(best.weights)}, "
            f"context {human_bytes(best.cache)}); {human_bytes(free)} is free.",
            "Close other programs, ask for a shorter context, or take a smaller model or quant.",
        )
    return best
