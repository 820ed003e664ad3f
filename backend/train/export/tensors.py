"""Tensors of safetensors files as float32, one at a time, without PyTorch (numpy knows no bfloat16).

The format: eight bytes with the length of a JSON header, the header, the data. The library checks a file
before anything in it is believed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from backend.errors import SternaError
from backend.train.tensor_names import Floats


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor lies: bytes [start, stop) of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def entries(path: Path) -> list[Entry]:
    """Return the tensors of a file in the order of their bytes. Raises SternaError `corrupt`."""
    try:
        with safe_open(path, "np"), path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        raise SternaError("corrupt", f"{path} cannot be read: {error}.", "Get it again.") from error
    header.pop("__metadata__", None)
    begin = 8 + size
    found = [
        Entry(name, said["dtype"], tuple(said["shape"]), *(begin + o for o in said["data_offsets"]))
        for name, said in header.items()
    ]
    return sorted(found, key=lambda e: e.start)


def read(file: BinaryIO, entry: Entry) -> Floats | None:
    """Return the values of a tensor as float32, None for a type that is no float."""
    if entry.dtype not in ("F32", "F16", "BF16"):
        return None
    file.seek(entry.start)
    data = file.read(entry.stop - entry.start)
    if entry.dtype == "BF16":
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(entry.shape)
    kind = "<f4" if entry.dtype == "F32" else "<f2"
    return np.frombuffer(data, kind).astype(np.float32).reshape(entry.shape)


def stored(entry: Entry, values: Floats) -> bytes:
    """Return values as the bytes of a tensor's type, rounded to the nearest."""
    if entry.dtype == "F32":
        return values.astype("<f4").tobytes()
    if entry.dtype == "F16":
        return values.astype("<f2").tobytes()
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()


def every(folder: Path) -> Iterator[tuple[str, Floats]]:
    """Yield all float tensors of a folder."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            for entry in entries(path):
                values = read(file, entry)
                if values is not None:
                    yield entry.name, values
