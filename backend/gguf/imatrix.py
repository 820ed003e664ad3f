"""Importance matrices: the mean square of each input of each matrix, over a text.

Read in both forms of llama.cpp: GGUF (`general.type` imatrix; `NAME.in_sum2` and `NAME.counts`), and
the older binary file (int32 entries; each int32 length, name, int32 calls, int32 count, float32 sums
times calls; then int32 chunks and the name of the text). Written as GGUF.
"""

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backend import quants
from backend.errors import SternaError
from backend.gguf.cursor import Cursor, shown
from backend.gguf.file import GGUFFile, open_gguf
from backend.gguf.header import MAGIC
from backend.gguf.writing import Blueprint, encode, write_gguf

_EXPERT = re.compile(r"(blk\.\d+\.ffn_\w+)\.(\d+)\.weight")
_SUMS, _COUNTS = ".in_sum2", ".counts"
_INT = struct.Struct("<i")
_MAX_ENTRIES, _MAX_NAME = 1 << 16, 256
_FLOOR = 1e-3  # of the mean: an input that the text never used is not worth nothing
_AGAIN = "Collect it again, with llama.cpp's imatrix tool or from a text by `sterna quantize`."

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Importance:
    """By tensor name the mean squares, float32 [matrices, cols]; a plain matrix counts as one."""

    entries: Mapping[str, Array]
    dataset: str = ""
    chunks: int = 0
    source: str = field(default="", compare=False)  # name of the file that it came from
    chunk_size: int = 0  # tokens; 0: not known

    def of(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """Return weights for the columns of a tensor, about 1 on average; None: nothing is known.

        Raises SternaError `bad_imatrix` where the entry is of another model.
        """
        entry = self._entry(name)
        if entry is None:
            return None
        matrices = shape[2] if len(shape) > 2 else 1
        if entry.size != matrices * shape[0]:
            raise SternaError(
                "bad_imatrix",
                f"The importance matrix has {entry.size} inputs for {name}, the model {shape[0]}.",
                "It was made for another model.",
            )
        entry = entry.reshape(matrices, shape[0])
        mean = entry.mean(axis=1, keepdims=True, dtype=np.float64)
        known = np.divide(entry, mean, out=np.ones(entry.shape), where=mean > 0)
        weights: Array = np.maximum(known, _FLOOR).astype(np.float32)
        return weights

    def _entry(self, name: str) -> Array | None:
        """Older files have a tensor for each expert."""
        one = _EXPERT.fullmatch(name)
        entry = self.entries.get(f"{one[1]}_exps.weight" if one else name)
        if one and entry is not None and int(one[2]) < len(entry):
            return entry[int(one[2]) :][:1]
        return self.entries.get(name)

    def told(self) -> dict[str, bytes]:
        """Return metadata for a file that was quantised by it."""
        return {
            "quantize.imatrix.file": encode(self.source),
            "quantize.imatrix.dataset": encode(self.dataset),
            "quantize.imatrix.entries_count": encode(len(self.entries)),
            "quantize.imatrix.chunks_count": encode(self.chunks),
        }


def is_imatrix(path: str | os.PathLike[str]) -> bool:
    """Return whether a file looks like an importance matrix, and not like a text."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SternaError(
            "not_found", f"{path} cannot be read: {error.strerror}.", "Check the path."
        ) from None
    if head[:4] == MAGIC:
        return True
    # The old form begins with two small numbers, so with zero bytes, which no text has.
    return len(head) == 8 and all(0 < n < _MAX_ENTRIES for n in struct.unpack("<ii", head))


def read_imatrix(path: str | os.PathLike[str]) -> Importance:
    """Read either form; raises SternaError."""
    path = Path(path)
    with path.open("rb") as file:
        modern = file.read(4) == MAGIC
    if modern:
        with open_gguf(path) as opened:
            return _from_gguf(opened)
    return _from_binary(path)


def write_imatrix(path: str | os.PathLike[str], importance: Importance) -> int:
    """Write it as GGUF, whole or not at all; returns the bytes."""
    single = quants.type_named("F32")
    pairs = {
        "general.type": encode("imatrix"),
        "imatrix.datasets": encode([importance.dataset]),
        "imatrix.chunk_count": encode(importance.chunks),
        "imatrix.chunk_size": encode(importance.chunk_size),  # llama.cpp reads no file without it
    }
    arrays: dict[str, Array] = {}
    for name, entry in importance.entries.items():
        arrays[name + _SUMS] = entry
        arrays[name + _COUNTS] = np.ones((len(entry), 1), np.float32)
    blueprints = [Blueprint(name, array.shape[::-1], single) for name, array in arrays.items()]
    return write_gguf(Path(path), pairs, blueprints, lambda b: [arrays[b.name].astype("<f4")])


def _from_gguf(file: GGUFFile) -> Importance:
    if file.string("general.type") != "imatrix":
        raise SternaError("bad_imatrix", f"{file.path.name} is no importance matrix.", _AGAIN)
    entries = {}
    for name in file.tensors:
        if not name.endswith(_SUMS):
            continue
        sums, counts = _array(file, name), _array(file, name.removesuffix(_SUMS) + _COUNTS)
        sums = sums.reshape(-1, sums.shape[-1])
        if counts.size != len(sums):
            raise _damaged(file.path, name)
        each = counts.reshape(-1, 1)
        mean = np.divide(sums, each, out=np.zeros_like(sums), where=each > 0)
        entries[name.removesuffix(_SUMS)] = _checked(file.path, name, mean)
    datasets = file.strings("imatrix.datasets")
    chunks = file.integer("imatrix.chunk_count", 0) or 0
    size = file.integer("imatrix.chunk_size", 0) or 0
    return Importance(entries, datasets[0] if datasets else "", chunks, file.path.name, size)


def _array(file: GGUFFile, name: str) -> Array:
    info = file.tensors.get(name)
    if info is None or info.type_name != "F32":
        raise _damaged(file.path, name)
    return file.data(name).view("<f4").reshape(info.shape[::-1]).astype(np.float32)


def _from_binary(path: Path) -> Importance:
    data = path.read_bytes()
    c = Cursor(data)
    entries = {}
    try:
        (count,) = c.numbers(_INT, "its count")
        for _ in range(_reasonable(count)):
            name = _take(c, data, _number(c, _MAX_NAME)).decode("utf-8", "replace")
            calls, values = _number(c, 1 << 30), _number(c, 1 << 26)
            sums = np.frombuffer(_take(c, data, 4 * values), "<f4")
            mean = sums / np.float32(max(calls, 1))
            entries[name] = _checked(path, name, mean.reshape(1, -1).astype(np.float32))
        chunks = _number(c, 1 << 30) if c.room >= 8 else 0
        dataset = _take(c, data, _number(c, 1 << 16)) if c.room >= 4 else b""
    except (SternaError, ValueError):
        raise SternaError(
            "bad_imatrix", f"{path.name} is neither an importance matrix nor a text.", _AGAIN
        ) from None
    return Importance(entries, dataset.decode("utf-8", "replace"), chunks, path.name)


def _number(c: Cursor, most: int) -> int:
    (value,) = c.numbers(_INT, "a number")
    if not 0 <= value <= most:
        raise ValueError(value)
    return value


def _reasonable(count: int) -> int:
    if not 0 < count <= _MAX_ENTRIES:
        raise ValueError(count)
    return count


def _take(c: Cursor, data: bytes, size: int) -> bytes:
    at = c.step(size, "an entry")
    return data[at : at + size]


def _checked(path: Path, name: str, mean: Array) -> Array:
    if not mean.size or not np.isfinite(mean).all() or mean.min() < 0:
        raise _damaged(path, name)
    return mean


def _damaged(path: Path, name: str) -> SternaError:
    return SternaError("bad_imatrix", f"{path.name} is damaged at its entry {shown(name)}.", _AGAIN)
