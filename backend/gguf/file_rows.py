"""Tensors of a file read by calls and not by the memory map.

What a map has touched counts as the memory of the process, and a file that is cut short while it is
read would end the process; a read gives memory back and an error instead.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from backend import quants
from backend.errors import SternaError
from backend.gguf.tensors import TensorInfo
from ext.quants import dequantise, row_bytes

_COPIED = 4 << 20  # bytes at once of a tensor that only is copied


class Files:
    """Open files that several threads may read at once."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths]

    def __enter__(self) -> "Files":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in self._files:
            os.close(descriptor)

    def read(self, number: int, start: int, count: int) -> bytearray:
        """Return `count` bytes of file `number` from byte `start`; raises SternaError."""
        data = bytearray(count)
        view, at = memoryview(data), 0
        while at < count:
            got = os.preadv(self._files[number], [view[at:]], start + at)
            if not got:
                raise SternaError(
                    "truncated",
                    f"{self._paths[number].name} became shorter while it was read.",
                    "Download the file again; it may be cut short or damaged.",
                )
            at += got
        return data


class FileRows:
    """The rows of a tensor in a GGUF file."""

    def __init__(self, files: Files, info: TensorInfo) -> None:
        self._files, self._info = files, info
        self._row = row_bytes(info.type, info.shape[0]) if info.shape else 0

    def read(self, first: int, count: int) -> npt.NDArray[np.float32]:
        """Return rows as float32 [count, cols]; raises SternaError for a type unknown here."""
        info = self._info
        if not self._row:
            raise SternaError(
                "unsupported_type",
                f"Tensor {info.name} has the type {info.type_name}, which Sterna cannot take apart.",
                "Take another file of the same model, best one in F16 or BF16.",
            )
        start = info.offset + first * self._row
        data = self._files.read(info.shard, start, count * self._row)
        if info.type == quants.I2_S:  # one scale behind all rows
            data += self._files.read(info.shard, info.offset + info.elements // 4, 4)
        return dequantise(info.type, np.frombuffer(data, np.uint8), count, info.shape[0])

    def stored_bytes(self, count: int) -> int:
        """Return the bytes of `count` rows in the file."""
        return count * self._row

    def copy(self) -> Iterator[bytearray]:
        """Yield all bytes of the tensor as they are."""
        info = self._info
        for at in range(0, info.nbytes, _COPIED):
            yield self._files.read(info.shard, info.offset + at, min(_COPIED, info.nbytes - at))
