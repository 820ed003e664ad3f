"""What a list tells of a model, read from its header once."""

import json
import struct
from pathlib import Path
from typing import Any

import msgspec

from backend.errors import SternaError
from backend.library.model import Found
from backend.library.stores.json_files import read_object

_MOST = (1 << 63) - 1  # what a column of SQLite can hold
_LONGEST_HEADER = 100_000_000  # bytes: what the safetensors library accepts
_DTYPES = {
    "F64": 64,
    "F32": 32,
    "BF16": 16,
    "F16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "I8": 8,
    "U8": 8,
}


class Summary(msgspec.Struct, frozen=True):
    """A model as lists show it. With `error` it cannot be used, and that is why."""

    title: str  # what the file calls itself
    arch: str
    params: int
    quant: str
    context: int | None
    kind: str  # model, adapter, checkpoint, …: see backend.gguf.card
    error: str | None = None


def look_into(found: Found) -> Summary:
    """Read the header of a file, or those of a checkpoint."""
    try:
        if found.path == found.files[0].path:
            return _of_file(found)
        return _of_checkpoint(found)
    except SternaError as error:
        return Summary("", "", 0, "", None, "model", plain(error.message))


def plain(text: str) -> str:
    """Return a text that every file and database can hold: without halves of characters."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _of_file(found: Found) -> Summary:
    from backend.gguf import describe, open_gguf  # numpy: only when a file is new

    with open_gguf(found.path) as file:
        card = describe(file)
    context = card.context if card.context is not None and card.context <= _MOST else None
    return Summary(
        plain(card.name),
        plain(card.arch),
        min(card.params, _MOST),
        plain(card.quant),
        context,
        card.kind,
    )


def _of_checkpoint(found: Found) -> Summary:
    """Read what a Hugging Face checkpoint says of itself; raises SternaError."""
    config = read_object(Path(found.path) / "config.json")
    inner = config.get("text_config")
    merged = {**inner, **config} if isinstance(inner, dict) else config
    sums: dict[str, int] = {}
    for file in found.files:
        for dtype, count in _tensors(file.path):
            sums[dtype] = sums.get(dtype, 0) + count
    context = merged.get("max_position_embeddings")
    return Summary(
        "",
        plain(str(merged.get("model_type") or "")[:300]),
        min(sum(sums.values()), _MOST),
        max(sums, key=lambda dtype: sums[dtype] * _DTYPES.get(dtype, 1), default=""),
        context if isinstance(context, int) and 0 < context <= _MOST else None,
        "checkpoint",
    )


def _tensors(path: str) -> list[tuple[str, int]]:
    """Return type and number of values of every tensor of a safetensors file; raises SternaError."""
    try:
        with Path(path).open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= _LONGEST_HEADER else None
    except (OSError, ValueError, struct.error, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise SternaError("truncated", f"{Path(path).name} is cut short or no safetensors file.")
    return [_tensor(tensor) for name, tensor in header.items() if name != "__metadata__"]


def _tensor(tensor: Any) -> tuple[str, int]:
    shape = tensor.get("shape") if isinstance(tensor, dict) else None
    count = 1
    for size in shape[:8] if isinstance(shape, list) else [0]:
        count *= size if isinstance(size, int) and 0 <= size < 1 << 40 else 0
    return plain(str(tensor.get("dtype", ""))[:16]) if isinstance(tensor, dict) else "", count
