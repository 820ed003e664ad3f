"""The header of a GGUF file, from any buffer that holds its start.

Layout (GGUF specification, versions 2 and 3, little-endian): magic, u32 version, u64 tensors, u64
pairs; pairs of key, u32 type, value; tensors of name, u32 dimensions, i64 extents, u32 type, u64
offset; padding to `general.alignment`; data. Nothing in it is believed: every count is compared with
the bytes that are left before anything is looped over or allocated.
"""

import struct
from dataclasses import dataclass

from backend.errors import SternaError
from backend.gguf.cursor import Buffer, Cursor, corrupt, truncated
from backend.gguf.metadata import Metadata, encoded_pairs, read_pairs
from backend.gguf.tensors import TensorInfo, read_tensors

MAGIC = b"GGUF"
_VERSION = struct.Struct("<I")
_COUNTS = struct.Struct("<QQ")
_DEFAULT_ALIGNMENT = 32
_MAX_ALIGNMENT = 1 << 20
_CONVERT = (
    "Take a newer file, or convert the original model with llama.cpp's convert_hf_to_gguf.py."
)


@dataclass(frozen=True, slots=True)
class Header:
    """Everything before the data, which starts at byte `data_start`."""

    version: int
    alignment: int
    metadata: Metadata
    tensors: dict[str, TensorInfo]
    data_start: int


def read_header(
    data: Buffer, *, size: int | None = None, shard: int = 0, architecture: str | None = None
) -> Header:
    """Read the header at the start of `data`; raises SternaError, and nothing else, on any bytes.

    `size` is that of the whole file where `data` is only its start; IncompleteHeaderError then asks for
    more. `architecture` is given for the later parts of a split model, which need not name it.
    """
    c = Cursor(data, size)
    version = _read_version(c)
    tensor_count, pair_count = c.numbers(_COUNTS, "the list of contents")
    metadata = Metadata(data, read_pairs(c, pair_count))
    alignment = metadata.integer("general.alignment", _DEFAULT_ALIGNMENT) or 0
    if alignment <= 0 or alignment & (alignment - 1) or alignment > _MAX_ALIGNMENT:
        raise corrupt(f"an alignment of {alignment} bytes is not possible")
    if architecture is None:
        architecture = metadata.string("general.architecture") or ""
    tensors, start = read_tensors(c, tensor_count, alignment, architecture, shard)
    return Header(version, alignment, metadata, tensors, start)


def encoded_metadata(data: Buffer) -> dict[str, bytes]:
    """Return the metadata of a whole file as it stands there, ready to be written again."""
    c = Cursor(data)
    _read_version(c)
    _, pair_count = c.numbers(_COUNTS, "the list of contents")
    return encoded_pairs(c, pair_count)


def _read_version(c: Cursor) -> int:
    magic = bytes(c.data[:4])
    if c.size < 4 and MAGIC.startswith(magic):
        raise truncated(f"it has {c.size} bytes" if c.size else "it is empty")
    if magic != MAGIC[: len(magic)]:
        raise SternaError(
            "not_gguf",
            "This is not a GGUF file.",
            "Sterna's engine reads .gguf files; look for a GGUF of the same model, or convert it.",
        )
    c.step(4, "its first word")
    (version,) = c.numbers(_VERSION, "its version")
    if version in (2, 3):
        return version
    if version == 1:
        raise SternaError("unsupported_format", "This GGUF file has the old version 1.", _CONVERT)
    if int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3):
        raise SternaError(
            "unsupported_format",
            "This GGUF file is written for big-endian machines.",
            "Take the little-endian file of the same model.",
        )
    raise SternaError(
        "unsupported_format",
        f"This GGUF file says that it has version {version}; Sterna reads 2 and 3.",
        "Take another file of the same model, or a newer Sterna.",
    )
