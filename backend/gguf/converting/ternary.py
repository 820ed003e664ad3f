"""BitNet weights: packed in bytes or as masters to be rounded, with either meaning of their scale.

Packed (uint8 [rows / 4, cols]): bits 2j of byte [i, k] hold the code of row j * rows / 4 + i, 0 1 2 for
-1 0 +1. `weight_scale` is what the codes are multiplied with in checkpoints whose linear class is
`autobitlinear` (Microsoft's BitNet b1.58 2B4T), and what they are divided by where it is `bitlinear`
(HF1BitLLM, Falcon3, Falcon-E). Masters are rounded as in training: to the nearest of -m, 0, m, m the
mean of the absolute values (BitNet b1.58, Ma et al. 2024).
"""

import threading

import numpy as np
import numpy.typing as npt

from backend.gguf.converting.checkpoint import StoredRows
from backend.gguf.converting.documents import bad_checkpoint
from backend.gguf.rows import PIECE, Rows

Values = npt.NDArray[np.float32]
_LEAST = 1e-5  # of the mean: as in training


def scale_of(stored: float, divides: bool) -> float:
    """Return what codes are multiplied with; raises SternaError for a scale that cannot be."""
    if not np.isfinite(stored) or stored <= 0:
        raise bad_checkpoint(f"a scale of its ternary weights is {stored}")
    return 1 / stored if divides else stored


class PackedTernary:
    """Codes in bytes, as float32."""

    def __init__(self, rows: StoredRows, quarter: int, scale: float) -> None:
        self._rows, self._quarter, self._scale = rows, quarter, np.float32(scale)

    def read(self, first: int, count: int) -> Values:
        """Return rows as float32 [count, cols]; raises SternaError for a code that is none."""
        parts = []
        row = first
        while row < first + count:  # rows of one plane lie together
            plane, at = divmod(row, self._quarter)
            here = min(self._quarter - at, first + count - row)
            packed = np.frombuffer(self._rows.raw(at, here), np.uint8).reshape(here, -1)
            parts.append(packed >> 2 * plane & 3)
            row += here
        codes = np.concatenate(parts)
        if codes.size and codes.max() > 2:
            raise bad_checkpoint("its ternary weights have a fourth value")
        weights: Values = (codes.astype(np.float32) - 1) * self._scale
        return weights

    def stored_bytes(self, count: int) -> int:
        """Return the bytes that `count` rows are in the checkpoint, four to a byte."""
        return self._rows.stored_bytes(count) // 4


class RoundedMasters:
    """A ternary matrix kept in floating point: its masters, its codes, or the rounded weights.

    They are told apart by the values, when the matrix is first read: one size beside zero means that it
    is rounded already, and must not be rounded by its mean again, which would shrink it.
    """

    def __init__(self, rows: Rows, count: int, cols: int, scale: float | None) -> None:
        self._rows, self._count, self._cols, self._given = rows, count, cols, scale
        self._scale: np.float32 | None = None
        self._unit = np.float32(1)  # what a code of 1 is in the checkpoint
        self._finding = threading.Lock()

    def read(self, first: int, count: int) -> Values:
        """Return rows as float32 [count, cols]."""
        with self._finding:
            if self._scale is None:
                self._look()
        codes = np.clip(np.rint(self._rows.read(first, count) / self._unit), -1, 1)
        weights: Values = (codes * self._scale).astype(np.float32)
        return weights

    def stored_bytes(self, count: int) -> int:
        """Return the bytes that `count` rows are in the checkpoint."""
        return self._rows.stored_bytes(count)

    def _look(self) -> None:
        step, total = max(PIECE // self._cols, 1), 0.0
        sizes: set[float] = set()  # other than zero; no more than two are of interest
        for row in range(0, self._count, step):
            values = np.abs(self._rows.read(row, min(step, self._count - row)))
            total += float(values.sum(dtype=np.float64))
            if len(sizes) < 2:
                sizes |= set(np.unique(values[values > 0])[:2].tolist())
        mean = max(total / (self._count * self._cols), _LEAST)
        rounded = sizes.pop() if len(sizes) == 1 else None
        if rounded is None:
            self._scale = np.float32(mean if self._given is None else self._given)
            self._unit = self._scale
        else:
            self._unit = np.float32(rounded)
            codes = rounded == 1 and self._given is not None  # else they have their scale already
            self._scale = np.float32(self._given if codes else rounded)
