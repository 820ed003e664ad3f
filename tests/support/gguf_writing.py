"""Writing small GGUF files by the gguf package, tensor types that it cannot make included."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGUFValueType


@dataclass(frozen=True)
class Raw:
    """A tensor as stored: ggml type id, shape as numpy writes it (rows first), bytes."""

    type: int
    shape: tuple[int, ...]
    data: bytes


def write_gguf(
    path: str | Path, metadata: Mapping[str, Any] = {}, tensors: Mapping[str, Any] = {}
) -> Path:
    """Write a GGUF file of version 3 and return its path.

    Metadata: bool, int (uint32, or int64 where that is too small), float (float32), str, lists of
    those (int32), or a pair (GGUFValueType, value) for any other type. `general.architecture` is `llama`
    unless given; `general.alignment` is obeyed. Tensors: numpy arrays, or `Raw`.
    """
    path = Path(path)
    metadata = dict(metadata)
    writer = gguf.GGUFWriter(path, metadata.pop("general.architecture", "llama"))
    if "general.alignment" in metadata:
        writer.add_custom_alignment(metadata.pop("general.alignment"))
    for key, value in metadata.items():
        kind, plain, items = _typed(value)
        writer.add_key_value(key, plain, kind, items)
    stored = {name: _raw(value) for name, value in tensors.items()}
    for name, raw in stored.items():
        # float32 here only keeps the package from deriving the shape: it does not know every type
        writer.add_tensor_info(name, raw.shape, np.dtype(np.float32), len(raw.data), raw.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    out = writer.fout[0]
    for raw in stored.values():
        out.write(bytes(-out.tell() % writer.data_alignment))
        out.write(raw.data)
    out.write(bytes(-out.tell() % writer.data_alignment))
    writer.close()
    return path


def _typed(value: Any) -> tuple[GGUFValueType, Any, GGUFValueType | None]:
    if isinstance(value, tuple):
        return value[0], value[1], None
    if isinstance(value, list):
        kind = _typed(value[0])[0] if value else GGUFValueType.UINT32
        if kind == GGUFValueType.UINT32 and all(v < 2**31 for v in value):
            kind = GGUFValueType.INT32  # as files have them: llama.cpp refuses others
        return GGUFValueType.ARRAY, value, kind
    if isinstance(value, bool):
        return GGUFValueType.BOOL, value, None
    if isinstance(value, int):
        small = 0 <= value < 2**32
        return GGUFValueType.UINT32 if small else GGUFValueType.INT64, value, None
    if isinstance(value, float):
        return GGUFValueType.FLOAT32, value, None
    return GGUFValueType.STRING, value, None


def _raw(value: Any) -> Raw:
    if isinstance(value, Raw):
        return value
    kinds = {
        "float32": 0,
        "float16": 1,
        "int8": 24,
        "int16": 25,
        "int32": 26,
        "int64": 27,
        "float64": 28,
    }
    return Raw(kinds[value.dtype.name], value.shape, np.ascontiguousarray(value).tobytes())
