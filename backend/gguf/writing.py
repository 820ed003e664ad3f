"""Writing a GGUF file of version 3: metadata, then tensors piece by piece, whole or not at all.

Our own because a tensor never is in memory as a whole: an embedding table alone can have gigabytes.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from backend import quants
from backend.files import whole_file
from backend.gguf.header import MAGIC
from backend.gguf.metadata import ARRAY, BOOL, STRING, UINT32

ALIGNMENT = 32
_FLOAT32, _UINT64, _INT32, _INT64 = 6, 10, 5, 11
_SIZE = struct.Struct("<Q")
_KIND = struct.Struct("<I")

Plain = bool | int | float | str | bytes
Bytes = bytes | bytearray | npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A tensor to write; shape[0] is the length of a row."""

    name: str
    shape: tuple[int, ...]
    type: quants.TensorType

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        size = quants.tensor_bytes(self.type, self.shape)
        if size is None:
            raise ValueError(f"{self.name}: rows of {self.shape[0]} do not fill {self.type.name}")
        return size


def encode(value: Plain | Sequence[Plain]) -> bytes:
    """Return a value as the header holds it, its type before it.

    Whole numbers are uint32 (or int64 where that is too small), others float32. An array has the type
    of its first item, whole numbers in it int32; an empty one is of texts.
    """
    if isinstance(value, str | bytes):
        return _KIND.pack(STRING) + _text(value)
    if isinstance(value, bool):
        return _KIND.pack(BOOL) + bytes([value])
    if isinstance(value, int):
        small = 0 <= value < 1 << 32
        return struct.pack("<II", UINT32, value) if small else struct.pack("<Iq", _INT64, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    return _KIND.pack(ARRAY) + _items(value)


def _text(value: str | bytes) -> bytes:
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return _SIZE.pack(len(data)) + data


def _items(values: Sequence[Plain]) -> bytes:
    count = len(values)
    first = values[0] if count else ""
    if isinstance(first, str | bytes):
        return struct.pack("<IQ", STRING, count) + b"".join(_text(v) for v in values)  # type: ignore[arg-type]
    if isinstance(first, bool):
        return struct.pack("<IQ", BOOL, count) + bytes(values)  # type: ignore[arg-type]
    if isinstance(first, int):
        return struct.pack("<IQ", _INT32, count) + np.asarray(values, "<i4").tobytes()
    return struct.pack("<IQ", _FLOAT32, count) + np.asarray(values, "<f4").tobytes()


def layout(pairs: Mapping[str, bytes], tensors: Sequence[Blueprint], alignment: int) -> bytes:
    """Return the header, padded to where the data begins."""
    out = bytearray(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(pairs)))
    for key, value in pairs.items():
        out += _text(key) + value
    offset = 0
    for tensor in tensors:
        dimensions = len(tensor.shape)
        out += _text(tensor.name)
        out += struct.pack(f"<I{dimensions}Q", dimensions, *tensor.shape)
        out += struct.pack("<IQ", tensor.type.id, offset)
        offset += _padded(tensor.nbytes, alignment)
    return bytes(out) + bytes(-len(out) % alignment)


def planned_bytes(
    pairs: Mapping[str, bytes], tensors: Sequence[Blueprint], alignment: int = ALIGNMENT
) -> int:
    """Return the size of the file that `write_gguf` would write, to the byte."""
    head = len(layout(pairs, tensors, alignment))
    return head + sum(_padded(tensor.nbytes, alignment) for tensor in tensors)


def write_gguf(
    path: Path,
    pairs: Mapping[str, bytes],
    tensors: Sequence[Blueprint],
    contents: Callable[[Blueprint], Iterable[Bytes]],
    alignment: int = ALIGNMENT,
) -> int:
    """Write a file and return its bytes.

    `pairs`: metadata, encoded. `contents` yields the bytes of a tensor in pieces of any size. Raises
    SternaError as `whole_file` does; an error or an interrupt leaves nothing behind.
    """
    total = planned_bytes(pairs, tensors, alignment)
    with whole_file(path, total) as file:
        file.write(layout(pairs, tensors, alignment))
        for tensor in tensors:
            _write_tensor(file, tensor, contents(tensor), alignment)
    return total


def _write_tensor(
    file: BinaryIO, tensor: Blueprint, pieces: Iterable[Bytes], alignment: int
) -> None:
    written = 0
    for piece in pieces:
        data = piece.tobytes() if isinstance(piece, np.ndarray) else piece
        file.write(data)
        written += len(data)
    if written != tensor.nbytes:
        raise ValueError(f"{tensor.name}: {written} bytes where {tensor.nbytes} were announced")
    file.write(bytes(_padded(written, alignment) - written))


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
