"""Will it fit? Asked before anything large is allocated, so that the answer is a sentence and not a
killed process.
"""

from dataclasses import dataclass

from backend.errors import SternaError
from backend.gguf import GGUFFile
from backend.inference.hyper import Hyper
from backend.machine import available_memory
from backend.units import human_bytes

SMALL_CACHE = 64 << 20  # a cache below this is kept in float32: it costs nothing and rounds nothing
_MARGIN = 64 << 20  # Python, tokenizer, stacks


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model will be held, in bytes."""

    context: int
    half: bool
    weights: int
    cache: int
    buffers: int

    @property
    def total(self) -> int:
        """Everything together."""
        return self.weights + self.cache + self.buffers


def cache_bytes(h: Hyper, context: int, half: bool) -> int:
    """Return the bytes of keys and values of all layers for `context` positions."""
    return h.layers * h.kv_heads * context * (h.key_width + h.value_width) * (2 if half else 4)


def buffer_bytes(h: Hyper, max_tokens: int) -> int:
    """Return the bytes of work buffers that a block of `max_tokens` tokens really touches."""
    widths = h.embedding + 2 * (h.heads + h.kv_heads) * h.key_width + 2 * h.feed_forward
    prepared = 7 * max(h.embedding, h.feed_forward, h.heads * h.value_width)
    return max_tokens * (4 * widths + prepared) + 12 * h.vocab


def plan(file: GGUFFile, h: Hyper, context: int | None, kv: str, max_tokens: int) -> Plan:
    """Choose the context and the type of the cache, or raise SternaError with what would fit."""
    if kv not in ("auto", "f16", "f32"):
        raise SternaError(
            "bad_argument", f"The KV cache cannot be {kv}.", "Choose auto, f16 or f32."
        )
    if context is not None and not 0 < context <= h.context:
        raise SternaError(
            "bad_argument",
            f"A context of {context} is not possible: this model was made for {h.context}.",
            f"Choose from 1 to {h.context}.",
        )
    free = available_memory()
    weights = sum(t.nbytes for t in file.tensors.values())
    buffers = buffer_bytes(h, max_tokens)
    wanted = context or min(h.context, 8192)

    def planned(tokens: int) -> Plan:
        half = kv == "f16" or (kv == "auto" and cache_bytes(h, tokens, half=False) > SMALL_CACHE)
        return Plan(tokens, half, weights, cache_bytes(h, tokens, half), buffers)

    while context is None and wanted > 512 and planned(wanted).total + _MARGIN > free:
        wanted //= 2  # the user asked for no length: take what fits, the screen shows it
    best = planned(wanted)
    if best.total + _MARGIN > free:
        raise SternaError(
            "out_of_memory",
            f"This needs {human_bytes(best.total + _MARGIN)} of memory "
            f"(weights {human_bytes(weights)}, context {human_bytes(best.cache)}); {human_bytes(free)} is free.",
            "Close other programs, ask for a shorter context, or take a smaller model or quant.",
        )
    return best
