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
    kv: str
    weights: int
    cache: int
    buffers: int

    @property
    def total(self) -> int:
        """Everything together."""
        return self.weights + self.cache + self.buffers


KV_TYPES = ("auto", "f32", "f16", "q8_0")


def cache_bytes(h: Hyper, context: int, kv: str) -> int:
    """Return the bytes of keys and values of all layers for `context` positions, as they will lie."""
    keys = -(-context // 16) * 16 * h.key_width
    values = context * (-(-h.value_width // 16) * 16)
    groups = 2 * context * (-(-h.key_width // 32) + -(-h.value_width // 32)) if kv == "q8_0" else 0
    each = {"f32": 4, "f16": 2, "q8_0": 1}[kv]
    return h.layers * h.kv_heads * ((keys + values) * each + groups)


def buffer_bytes(h: Hyper, max_tokens: int) -> int:
    """Return the bytes of work buffers that a block of `max_tokens` tokens really touches."""
    widths = h.embedding + 2 * (h.heads + h.kv_heads) * h.key_width + 2 * h.feed_forward
    prepared = 7 * max(h.embedding, h.feed_forward, h.heads * h.value_width)
    return max_tokens * (4 * widths + prepared) + 12 * h.vocab


def plan(file: GGUFFile, h: Hyper, context: int | None, kv: str, max_tokens: int) -> Plan:
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
    weights = sum(t.nbytes for t in file.tensors.values())
    buffers = buffer_bytes(h, max_tokens)
    wanted = context or min(h.context, 8192)

    def planned(tokens: int) -> Plan:
        type_ = kv
        if kv == "auto":
            type_ = "f16" if cache_bytes(h, tokens, "f32") > SMALL_CACHE else "f32"
        return Plan(tokens, type_, weights, cache_bytes(h, tokens, type_), buffers)

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
