"""What a runtime needs for a model, and the longest context that it can be given."""

from collections.abc import Callable
from dataclasses import dataclass

from backend.fit.cache import cache_bytes
from backend.fit.model import Model
from backend.fit.runtimes import compute_bytes

_STEP = 256  # contexts are told in multiples of it
_PROGRAM = 150 << 20  # bytes of a llama.cpp program in the computer, libraries included


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes. `weights`: of the file; `compute`: what they take more when they are packed, work buffers,
    tokenizer and the program itself; `on_disk`: weights that stay in the file, a table of embeddings.
    """

    weights: int
    kv: int
    compute: int
    on_disk: int = 0

    @property
    def total(self) -> int:
        """What is in memory, together."""
        return self.weights + self.kv + self.compute - self.on_disk


# What a model needs at a context with a type of KV cache. More context never needs less.
Runtime = Callable[[Model, int, str], Needs]


def llama_cpp(model: Model, context: int, kv: str) -> Needs:
    """Return what llama.cpp and its kin need without a GPU; `auto` is their f16."""
    kv = "f16" if kv == "auto" else kv
    return Needs(
        model.file_bytes,
        cache_bytes(model.layers, context, kv),
        compute_bytes(model, context) + _PROGRAM,
    )


def longest_context(total: Callable[[int], int], most: int, free: int) -> int:
    """Return the longest context, at most `most`, whose `total` bytes are free; 0 when none is.

    A multiple of 256, unless it is `most`.
    """
    if total(most) <= free:
        return most
    low, high = 0, -(-most // _STEP)  # in steps: low fits (or is none), high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total(middle * _STEP) <= free else (low, middle)
    return low * _STEP
