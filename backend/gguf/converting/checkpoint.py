"""The tensors of a checkpoint, as its .safetensors files list them.

A file is u64 length, that many bytes of JSON (by name dtype, shape and [begin, end) in what follows),
then the values. Read by our own few lines: the package hands over whole tensors, and none in BF16.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf.converting.documents import bad_checkpoint, read_json
from backend.gguf.file_rows import Files

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100 << 20  # as the format's own library
_MAX_TENSORS = 1 << 20
_SIZES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
_PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
          "U8": "u1", "BOOL": "u1"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file; shape as Python writes it: rows first."""

    name: str
    file: int
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def cols(self) -> int:
        """Values of a row."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """Rows of all dimensions but the last."""
        return math.prod(self.shape[:-1])

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self.rows * self.cols * _SIZES[self.dtype]


def find_files(folder: Path) -> list[Path]:
    """Return the weights of a checkpoint, in order; raises SternaError."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = read_json(index).get("weight_map")
        names = set(listed.values()) if isinstance(listed, dict) else set()
        if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
            raise bad_checkpoint(f"{index.name} lists no files of its own folder")
        paths = [folder / name for name in sorted(names)]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise bad_checkpoint(f"{missing[0]} is missing")
        return paths
    paths = sorted(folder.glob("*.safetensors"))
    single = folder / "model.safetensors"
    if single in paths:
        return [single]
    if not paths:
        pickled = any(True for pattern in ("*.bin", "*.pt", "*.pth") for _ in folder.glob(pattern))
        why = (
            "its weights are pickles, which could run anything" if pickled else "it has no weights"
        )
        raise SternaError(
            "bad_checkpoint",
            f"{folder.name} has no .safetensors files: {why}.",
            "Take a checkpoint in safetensors; most models are published so.",
        )
    return paths


def list_tensors(paths: list[Path]) -> dict[str, Stored]:
    """Return the tensors of all files by name; raises SternaError."""
    found: dict[str, Stored] = {}
    for number, path in enumerate(paths):
        for name, entry, start, size in _header(path):
            if name in found:
                raise bad_checkpoint(f"the tensor {name[:80]} stands in two files")
            found[name] = _tensor(name, entry, number, start, size, path)
    if len(found) > _MAX_TENSORS:
        raise bad_checkpoint(f"it claims {len(found)} tensors")
    return found


def _header(path: Path) -> list[tuple[str, Any, int, int]]:
    """Return name, entry, where the values begin and how many bytes they are, for each tensor."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = _LENGTH.unpack(head)[0] if len(head) == 8 else _MAX_HEADER + 1
        if length > min(_MAX_HEADER, size - 8):
            raise bad_checkpoint(f"{path.name} is cut short or no safetensors file")
        try:
            listed = json.loads(file.read(length))
        except (ValueError, RecursionError):
            raise bad_checkpoint(f"the header of {path.name} is no JSON") from None
    if not isinstance(listed, dict):
        raise bad_checkpoint(f"the header of {path.name} is no list of tensors")
    listed.pop("__metadata__", None)
    return [(name, entry, 8 + length, size - 8 - length) for name, entry in listed.items()]


def _tensor(name: str, entry: Any, file: int, start: int, room: int, path: Path) -> Stored:
    try:
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
            raise ValueError(name)
        fits = 0 <= begin <= end <= room
    except (KeyError, TypeError, ValueError):
        raise bad_checkpoint(f"{path.name} lists {name[:80]} wrongly") from None
    if dtype not in _SIZES:
        raise bad_checkpoint(f"{name[:80]} has the type {str(dtype)[:20]}")
    stored = Stored(name, file, dtype, shape, start + begin)
    if not fits or end - begin != stored.nbytes:
        raise bad_checkpoint(f"{path.name} is cut short or lists {name[:80]} wrongly")
    return stored


class StoredRows:
    """The rows of a tensor in a checkpoint, as float32."""

    def __init__(self, files: Files, stored: Stored) -> None:
        self._files, self._stored = files, stored
        self._row = stored.cols * _SIZES[stored.dtype]

    def raw(self, first: int, count: int) -> bytearray:
        """Return rows as they are."""
        stored = self._stored
        return self._files.read(stored.file, stored.offset + first * self._row, count * self._row)

    def read(self, first: int, count: int) -> npt.NDArray[np.float32]:
        """Return rows as float32 [count, cols]."""
        data, stored = self.raw(first, count), self._stored
        if stored.dtype == "BF16":
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data, _PLAIN[stored.dtype]).astype(np.float32)
        return values.reshape(count, stored.cols)

    def stored_bytes(self, count: int) -> int:
        """Return the bytes of `count` rows in the file."""
        return count * self._row
