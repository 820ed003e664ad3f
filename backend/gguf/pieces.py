"""Tensors of a file in pieces, read by calls and not by the memory map.

What a map has touched counts as the memory of the process, and a file that is cut short while it is
read would end the process; a read gives memory back and an error instead.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt

from backend import quants
from backend.errors import SternaError
from backend.gguf.cursor import truncated
from backend.gguf.file import GGUFFile
from backend.gguf.tensors import TensorInfo
from ext.quants import dequantise, row_bytes

PIECE = 1 << 20  # values of a piece, about


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a tensor; a piece never reaches over two of its matrices (experts)."""

    info: TensorInfo
    matrix: int
    first: int  # row, counted through all matrices
    rows: int

    @property
    def nbytes(self) -> int:
        """Bytes in the file; what stands behind all rows is not counted."""
        return self.rows * row_bytes(self.info.type, self.info.shape[0])


def pieces(info: TensorInfo) -> Iterator[Piece]:
    """Cut a tensor; its rows together are all of it, in order."""
    cols = max(info.shape[0], 1)
    matrices = max(info.elements // cols // (info.shape[1] if len(info.shape) > 1 else 1), 1)
    each = info.shape[1] if len(info.shape) > 1 else 1
    step = max(PIECE // cols, 1)
    for matrix in range(matrices):
        for row in range(0, each, step):
            yield Piece(info, matrix, matrix * each + row, min(step, each - row))


class Source:
    """The tensors of an open file, to be read by several threads at once."""

    def __init__(self, file: GGUFFile) -> None:
        self._files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in file.shards]

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in self._files:
            os.close(descriptor)

    def raw(self, info: TensorInfo, start: int, count: int) -> bytearray:
        """Return `count` bytes of a tensor from byte `start`; raises SternaError."""
        data = bytearray(count)
        view, at = memoryview(data), 0
        while at < count:
            got = os.preadv(self._files[info.shard], [view[at:]], info.offset + start + at)
            if not got:
                raise truncated(f"the tensor {info.name} is no longer all there")
            at += got
        return data

    def values(self, piece: Piece) -> npt.NDArray[np.float32]:
        """Return a piece as float32 [rows, cols]; raises SternaError for a type unknown here."""
        info, cols = piece.info, piece.info.shape[0]
        size = row_bytes(info.type, cols)
        if not size:
            raise SternaError(
                "unsupported_type",
                f"Tensor {info.name} has the type {info.type_name}, which Sterna cannot take apart.",
                "Take another file of the same model, best one in F16 or BF16.",
            )
        data = self.raw(info, piece.first * size, piece.rows * size)
        if info.type == quants.I2_S:  # one scale behind all rows
            data += self.raw(info, info.elements // 4, 4)
        return dequantise(info.type, np.frombuffer(data, np.uint8), piece.rows, cols)
