"""Rows of a matrix to be written, wherever they come from, turned into a type by several threads."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf.writing import Blueprint, Bytes
from backend.progress import Meter
from ext.quantise import quantise as quantise_rows

Values = npt.NDArray[np.float32]
PIECE = 1 << 20  # values of a piece, about


class Rows(Protocol):
    """A tensor as rows of values; rows of all its matrices (experts) are counted through."""

    def read(self, first: int, count: int) -> Values:
        """Return rows as float32 [count, cols]; called by several threads at once."""

    def stored_bytes(self, count: int) -> int:
        """Return how many bytes `count` rows are where they come from, for the progress."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a tensor; a piece never reaches over two of its matrices."""

    matrix: int
    first: int
    rows: int


def pieces(shape: tuple[int, ...]) -> Iterator[Piece]:
    """Cut a tensor; shape[0] is the length of a row. Its rows together are all of it, in order."""
    cols, each = max(shape[0], 1), shape[1] if len(shape) > 1 else 1
    matrices = 1
    for extent in shape[2:]:
        matrices *= extent
    step = max(PIECE // cols, 1)
    for matrix in range(matrices):
        for row in range(0, each, step):
            yield Piece(matrix, matrix * each + row, min(step, each - row))


class Workers:
    """Threads that turn pieces into bytes; results come in the order of the pieces."""

    def __init__(self, threads: int | None, meter: Meter) -> None:
        if threads is not None and not 1 <= threads <= 1024:
            raise SternaError(
                "bad_argument", f"{threads} threads make no sense.", "Choose from 1 to 1024."
            )
        self._count = threads or _processors()
        self._meter = meter
        self._pool = ThreadPoolExecutor(self._count)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, rows: Rows, to: Blueprint, weights: Values | None = None) -> Iterator[Bytes]:
        """Yield the bytes of a tensor; `weights`: importance of its columns [matrices, cols]."""
        waiting: deque[tuple[Piece, Future[Bytes]]] = deque()
        for piece in pieces(to.shape):
            waiting.append((piece, self._pool.submit(_turn, rows, piece, to, weights)))
            if len(waiting) > self._count:
                yield self._next(rows, to, waiting)
        while waiting:
            yield self._next(rows, to, waiting)

    def _next(
        self, rows: Rows, to: Blueprint, waiting: deque[tuple[Piece, Future[Bytes]]]
    ) -> Bytes:
        piece, future = waiting.popleft()
        result = future.result()
        self._meter.add(rows.stored_bytes(piece.rows), to.name)
        return result


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _turn(rows: Rows, piece: Piece, to: Blueprint, weights: Values | None) -> Bytes:
    values = rows.read(piece.first, piece.rows)
    try:
        return _as_type(values, to, None if weights is None else weights[piece.matrix])
    except OverflowError:
        raise SternaError(
            "bad_values",
            f"Tensor {to.name} has values that are no numbers, or too large for {to.type.name}.",
            "The source is damaged, or needs BF16 or F32.",
        ) from None


def _as_type(values: Values, to: Blueprint, weights: Values | None) -> Bytes:
    """Return float32 rows as the bytes of a type; raises OverflowError."""
    name = to.type.name
    if name == "F32":
        return values
    if name == "BF16":  # to the nearest, halves to even; what is no number stays one
        bits = values.view(np.uint32)
        nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        return np.where(np.isfinite(values), nearest, bits >> 16 | np.isnan(values) << 6).astype(
            "<u2"
        )
    if name == "F16":
        if not np.abs(values).max(initial=0) < 65520:
            raise OverflowError(name)
        return values.astype("<f2")
    return quantise_rows(to.type.id, values, weights)
