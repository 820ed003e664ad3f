"""Will it fit? Asked before anything large is allocated, so that the answer is a sentence and not a
killed process.
"""

from dataclasses import dataclass

from backend.errors import SternaError
from backend.inference.hyper import Hyper
from backend.inference.source import Source
from backend.machine import available_memory
from backend.units import human_bytes
from ext.matrix import held_bytes, sketch_bytes
from ext.steps import buffer_bytes as of_buffer
from ext.steps import expert_bytes, shared_bytes

BLOCK_TOKENS = 264  # tokens run at once in a prompt: 22 tiles of the prefill kernels
SMALL_CACHE = 16 << 20  # below it a cache is in float32: the processor holds it, nothing is rounded
_MARGIN = 16 << 20  # left free
_INTERPRETER = 57_000_000  # Python with what it imports, stacks, what the allocators round up
_TOKEN, _MERGE = 370, 120  # bytes of each in the tokenizer, as it was measured
_TILE = 64  # positions that attention takes at once: a ring is a multiple of it


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model will be held, in bytes. `program`: Python, its libraries and the tokenizer."""

    context: int
    kv: str
    weights: int
    cache: int
    buffers: int
    program: int

    @property
    def total(self) -> int:
        """Everything together: what the process will have in memory when its context is full."""
        return self.weights + self.cache + self.buffers + self.program


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
    """Return the bytes of the work buffers: values between steps, inputs of products, sums, logits."""
    return touched_bytes(h, threads, block) + of_buffer(h.vocab, block) - 4 * h.vocab


def touched_bytes(h: Hyper, threads: int, block: int) -> int:
    """Return the bytes of work buffers that blocks of `block` tokens touch.

    Of the logits it is those of one token: others have room, but are rarely asked for, and pages that
    nobody touches take no memory.
    """
    heads, mixed = (h.heads + h.kv_heads) * h.key_width, h.heads * h.value_width
    widths = h.embedding + heads + h.kv_heads * h.value_width + mixed
    widest, experts, e = max(h.embedding, mixed), 0, h.experts
    if h.traits.post_norms:
        widths += h.embedding
    if e is None or not e.everywhere:
        widths += 2 * h.feed_forward
        widest = max(widest, h.feed_forward)
    if e is not None:
        widths += e.count + (2 * e.shared + 1 if e.shared else 0)
        widest = max(widest, e.shared)
        experts = expert_bytes(threads, block, e.count, e.used, e.width, h.embedding, e.floats)
    shared = shared_bytes(threads, block, widest, h.heads, h.value_width, h.vocab)
    return of_buffer(widths, block) + 4 * h.vocab + shared + experts


def weight_bytes(source: Source) -> int:
    """Return the bytes of the weights in the layouts that they are computed in.

    The table of embeddings is read from the file row by row: it takes memory only where it is the output
    matrix as well.
    """
    total = 0
    for tensor in source.tensors.values():
        cols = tensor.shape[0] if tensor.shape else 1
        rows = tensor.elements // max(cols, 1)
        total += held_bytes(tensor.type, rows, cols) if len(tensor.shape) > 1 else 4 * cols
    return total + _sketch_bytes(source) - table_bytes(source)


def _sketch_bytes(source: Source) -> int:
    tensor = source.tensors.get("output.weight") or source.tensors.get("token_embd.weight")
    if tensor is None or len(tensor.shape) < 2:
        return 0
    return sketch_bytes(tensor.type, tensor.shape[1], tensor.shape[0])


def table_bytes(source: Source) -> int:
    """Return the bytes of a table of embeddings that is nothing else, and so stays in the file."""
    table = source.tensors.get("token_embd.weight")
    if table is None or "output.weight" not in source.tensors or len(table.shape) < 2:
        return 0
    return held_bytes(table.type, table.shape[1], table.shape[0])


def program_bytes(source: Source, h: Hyper) -> int:
    """Return the bytes of the process without the model: the interpreter, and the tokenizer."""
    tokens = source.metadata.count("tokenizer.ggml.tokens") or h.vocab
    merges = source.metadata.count("tokenizer.ggml.merges") or 2 * tokens  # they are derived
    return _INTERPRETER + _TOKEN * tokens + _MERGE * merges


@dataclass(frozen=True, slots=True)
class Standing:
    """What no context changes, in bytes: weights, and the program with its tokenizer."""

    weights: int
    program: int


def standing(source: Source, h: Hyper) -> Standing:
    """Return it; worth keeping where many contexts are asked for."""
    return Standing(weight_bytes(source), program_bytes(source, h))


def estimate(
    source: Source, h: Hyper, context: int, kv: str, threads: int, known: Standing | None = None
) -> Plan:
    """Return what a model would take, without touching its weights; `kv` may be auto."""
    if kv == "auto":
        kv = "f16" if cache_bytes(h, context, "f32") > SMALL_CACHE else "f32"
    cache, known = cache_bytes(h, context, kv), known or standing(source, h)
    return Plan(
        context,
        kv,
        known.weights,
        cache,
        touched_bytes(h, threads, min(BLOCK_TOKENS, context)),
        known.program,
    )


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
