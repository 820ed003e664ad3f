"""The header of a GGUF file, from any buffer that holds its start.

Layout (GGUF specification, versions 2 and 3, little-endian): magic, u32 version, i64 tensors, i64
pairs; pairs of key, u32 type, value; tensors of name, u32 dimensions, i64 extents, u32 type, u64
offset; padding to `general.alignment`; data. Nothing in it is believed: every count is compared with
the bytes that are left before anything is looped over or allocated.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend import quants
from backend.errors import SternaError

Value = str | int | float | bool | list[str] | list[bool] | npt.NDArray[np.generic]

MAGIC = b"GGUF"
_MAX_TENSORS = 65_536
_MAX_PAIRS = 65_536
_MAX_KEY = 65_535
_MAX_ALIGNMENT = 1 << 20
_STRING, _ARRAY, _BOOL = 8, 9, 7
# numpy and struct codes of the fixed-size value types
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_AGAIN = "Download the file again; it may be cut short or damaged."

Buffer = bytes | bytearray | memoryview


def corrupt(what: str) -> SternaError:
    """Return the error for bytes that break the format."""
    return SternaError("corrupt", f"This GGUF file is damaged: {what}.", _AGAIN)


def truncated(what: str) -> SternaError:
    """Return the error for a file that ends too early."""
    return SternaError("truncated", f"This GGUF file is cut short: {what}.", _AGAIN)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies. `shape` in ggml's order: shape[0] is the length of a contiguous row."""

    name: str
    shape: tuple[int, ...]
    type: int
    type_name: str
    offset: int  # absolute in its shard
    nbytes: int  # 0 when the size of the type is unknown
    shard: int
    supported: bool  # the type has a known size

    @property
    def elements(self) -> int:
        """Number of values."""
        count = 1
        for n in self.shape:
            count *= n
        return count


@dataclass(frozen=True, slots=True)
class _Array:
    """An array not decoded yet: `count` items of `kind` from `start`; `ends` for strings."""

    kind: int
    count: int
    start: int


class Cursor:
    """Reads values one after the other and never beyond the end."""

    def __init__(self, data: Buffer) -> None:
        self.data = data
        self.at = 0
        self.end = len(data)

    def need(self, count: int, what: str) -> int:
        """Return the position of the next `count` bytes and step over them."""
        at = self.at
        if count > self.end - at:
            raise truncated(what)
        self.at = at + count
        return at

    def unpack(self, code: str, what: str) -> int:
        """Read one number."""
        layout = "<" + code
        value: int = struct.unpack_from(
            layout, self.data, self.need(struct.calcsize(layout), what)
        )[0]
        return value

    def string(self, what: str, limit: int | None = None) -> bytes:
        """Read a string: u64 length, bytes."""
        size = self.unpack("Q", what)
        if limit is not None and size > limit:
            raise corrupt(f"{what} claims {size} bytes")
        at = self.need(size, what)
        return bytes(self.data[at : at + size])

    def skip_strings(self, count: int, what: str) -> None:
        """Step over `count` strings."""
        at, end, data = self.at, self.end, self.data
        size_of = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if end - at < 8:
                raise truncated(what)
            (size,) = size_of(data, at)
            at += 8 + size
            if at > end:
                raise truncated(what)
        self.at = at


class Metadata(Mapping[str, Value]):
    """The pairs of a header. Arrays are decoded when they are first asked for."""

    def __init__(self, data: Buffer, raw: dict[str, Value | _Array]) -> None:
        self._data = data
        self._raw = raw

    def __getitem__(self, key: str) -> Value:
        value = self._raw[key]
        if isinstance(value, _Array):
            value = self._raw[key] = self._decode(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def raw_strings(self, key: str) -> list[bytes]:
        """Return an array of strings as bytes; empty when there is none under this key."""
        array = self._raw.get(key)
        if isinstance(array, list):
            return [s.encode() if isinstance(s, str) else b"" for s in array]
        if not isinstance(array, _Array) or array.kind != _STRING:
            return []
        return self._strings(array)

    def _strings(self, array: _Array) -> list[bytes]:
        at, data = array.start, bytes(self._data[array.start : self._end(array)])
        base, out = at, []
        size_of = struct.Struct("<Q").unpack_from
        at -= base
        for _ in range(array.count):
            (size,) = size_of(data, at)
            at += 8
            out.append(data[at : at + size])
            at += size
        return out

    def _end(self, array: _Array) -> int:
        cursor = Cursor(self._data)
        cursor.at = array.start
        cursor.skip_strings(array.count, "an array of strings")
        return cursor.at

    def _decode(self, array: _Array) -> Value:
        if array.kind == _STRING:
            return [s.decode("utf-8", "replace") for s in self._strings(array)]
        code = _FIXED[array.kind]
        if array.kind == _BOOL:
            flags = bytes(self._data[array.start : array.start + array.count])
            return [b != 0 for b in flags]
        return np.frombuffer(self._data, np.dtype("<" + code), array.count, array.start)


@dataclass(frozen=True, slots=True)
class Header:
    """Everything before the data. `data_start` and tensor offsets count from the file's first byte."""

    version: int
    alignment: int
    metadata: Metadata
    tensors: dict[str, TensorInfo]
    data_start: int
    data_end: int  # where the last tensor ends, as far as sizes are known


def _version(c: Cursor) -> int:
    if c.end < 4 or bytes(c.data[:4]) != MAGIC:
        raise SternaError(
            "not_gguf",
            "This is not a GGUF file.",
            "Sterna's engine reads .gguf files; other formats are converted first.",
        )
    c.at = 4
    version = c.unpack("I", "its version is missing")
    if version in (2, 3):
        return version
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    if swapped in (2, 3):
        raise SternaError(
            "unsupported_format",
            "This GGUF file is for big-endian machines.",
            "Take the little-endian file.",
        )
    if version == 1:
        raise SternaError(
            "unsupported_format",
            "This GGUF file has the old version 1.",
            "Convert the model again or take a newer file.",
        )
    raise SternaError(
        "unsupported_format",
        f"This GGUF file has version {version}; Sterna reads 2 and 3.",
        "Take another file, or a newer Sterna.",
    )


def _array(c: Cursor, key: str) -> _Array:
    kind = c.unpack("I", f"the array {key!r}")
    count = c.unpack("Q", f"the array {key!r}")
    if kind == _STRING:
        if count * 8 > c.end - c.at:
            raise truncated(f"the array {key!r} claims {count} strings")
        array = _Array(kind, count, c.at)
        c.skip_strings(count, f"the array {key!r}")
        return array
    code = _FIXED.get(kind)
    if code is None:
        raise corrupt(f"the array {key!r} has items of type {kind}")
    size = struct.calcsize("<" + code)
    if count * size > c.end - c.at:
        raise truncated(f"the array {key!r} claims {count} items")
    return _Array(kind, count, c.need(count * size, key))


def _pairs(c: Cursor, count: int) -> dict[str, Value | _Array]:
    if count > _MAX_PAIRS or count * 13 > c.end - c.at:
        raise corrupt(f"it claims {count} metadata entries")
    raw: dict[str, Value | _Array] = {}
    for _ in range(count):
        key = c.string("a metadata key", _MAX_KEY).decode("utf-8", "replace")
        if not key:
            raise corrupt("a metadata key is empty")
        if key in raw:
            raise corrupt(f"the metadata key {key[:80]!r} stands there twice")
        kind = c.unpack("I", f"the type of {key[:80]!r}")
        if kind == _STRING:
            raw[key] = c.string(f"the value of {key[:80]!r}").decode("utf-8", "replace")
        elif kind == _ARRAY:
            raw[key] = _array(c, key[:80])
        elif kind == _BOOL:
            raw[key] = c.unpack("B", f"the value of {key[:80]!r}") != 0
        elif kind in _FIXED:
            raw[key] = c.unpack(_FIXED[kind], f"the value of {key[:80]!r}")
        else:
            raise corrupt(f"the value of {key[:80]!r} has the unknown type {kind}")
        if key == "general.alignment" and kind != 4:
            raise corrupt("its alignment is not a 32-bit number")
    return raw


def _alignment(raw: dict[str, Value | _Array]) -> int:
    value = raw.get("general.alignment", 32)
    if not isinstance(value, int) or value <= 0 or value & (value - 1) or value > _MAX_ALIGNMENT:
        raise corrupt(f"an alignment of {value} is not possible")
    return value


def _shape(c: Cursor, name: str) -> tuple[int, ...]:
    count = c.unpack("I", f"the tensor {name!r}")
    if count > 4:
        raise corrupt(f"the tensor {name!r} has {count} dimensions")
    shape = tuple(c.unpack("q", f"the tensor {name!r}") for _ in range(count))
    elements = 1
    for n in shape:
        if n < 0:
            raise corrupt(f"the tensor {name!r} has a negative extent")
        elements *= n
    if elements >= 1 << 59:  # times any block fits 63 bits
        raise corrupt(f"the tensor {name!r} claims {elements} values")
    return shape


def read_header(data: Buffer, shard: int = 0) -> Header:
    """Read the header at the start of `data`; raises SternaError, and nothing else, on any bytes."""
    c = Cursor(data)
    version = _version(c)
    tensor_count = c.unpack("Q", "the number of its tensors is missing")
    pair_count = c.unpack("Q", "the number of its metadata entries is missing")
    if tensor_count > _MAX_TENSORS or tensor_count * 24 > c.end - c.at:
        raise corrupt(f"it claims {tensor_count} tensors")
    raw = _pairs(c, pair_count)
    alignment = _alignment(raw)
    architecture = raw.get("general.architecture", "")
    tensors, end = _tensors(c, tensor_count, alignment, str(architecture), shard)
    start = -(-c.at // alignment) * alignment
    placed = {
        name: TensorInfo(
            t.name, t.shape, t.type, t.type_name, start + t.offset, t.nbytes, shard, t.supported
        )
        for name, t in tensors.items()
    }
    return Header(
        version, alignment, Metadata(data, raw), placed, start, start + end if end else c.at
    )


def _tensors(
    c: Cursor, count: int, alignment: int, architecture: str, shard: int
) -> tuple[dict[str, TensorInfo], int]:
    """Return the tensors, offsets relative to the data, and where the last known byte of data is."""
    tensors: dict[str, TensorInfo] = {}
    expected: int | None = 0  # None once a size is unknown: what follows cannot be foretold
    end = 0
    for _ in range(count):
        name = c.string("the name of a tensor", 63).decode("utf-8", "replace")
        if name in tensors:
            raise corrupt(f"the tensor {name!r} stands there twice")
        shape = _shape(c, name)
        type_ = c.unpack("I", f"the tensor {name!r}")
        offset = c.unpack("Q", f"the tensor {name!r}")
        kind = quants.tensor_type(type_, architecture)
        nbytes = quants.tensor_bytes(kind, shape) if kind else None
        if kind and nbytes is None:
            raise corrupt(f"the rows of tensor {name!r} do not fill whole blocks of {kind.name}")
        if offset % alignment or offset >= 1 << 62 or (expected is not None and offset != expected):
            raise corrupt(f"the tensor {name!r} does not lie where the one before it ends")
        expected = (
            None
            if nbytes is None or expected is None
            else -(-(offset + nbytes) // alignment) * alignment
        )
        end = max(end, offset + (nbytes or 0))
        tensors[name] = TensorInfo(
            name,
            shape,
            type_,
            quants.type_name(type_, architecture),
            offset,
            nbytes or 0,
            shard,
            nbytes is not None,
        )
    return tensors, end
