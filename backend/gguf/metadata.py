"""The key-value pairs of a header. Texts and arrays are decoded when they are first asked for.

Access by type: `string`, `integer`, … A key that is absent and a key that holds another type are
the same to them, so a chat template that is an array is no chat template. `[]` gives what is there.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.gguf.cursor import Buffer, Cursor, corrupt, shown, truncated

Value = str | int | float | bool | list[str] | list[bool] | npt.NDArray[np.generic]

# Value types of the format.
UINT32, BOOL, STRING, ARRAY = 4, 7, 8, 9
_LAYOUTS = {
    kind: struct.Struct("<" + code)
    for kind, code in {
        0: "B", 1: "b", 2: "H", 3: "h", UINT32: "I", 5: "i", 6: "f", BOOL: "?", 10: "Q", 11: "q", 12: "d",
    }.items()
}  # fmt: skip
_HEAD = struct.Struct("<IQ")  # of an array: item type, count
_KIND = struct.Struct("<I")
_SIZE = struct.Struct("<Q")

_SHORT_TEXT, _SHORT_ARRAY = 4096, 4096  # bytes and items that `detached` keeps
_MAX_PAIRS = 65_536
_MAX_KEY = 65_535  # by the specification
_MAX_KEYS_BYTES = 4 << 20
_MAX_TEXT = 16 << 20
_MAX_ARRAY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class _Text:
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class _Array:
    """`count` items of the value type `kind` in data[start:stop]."""

    kind: int
    count: int
    start: int
    stop: int


_Stored = int | float | bool | _Text | _Array


class Metadata(Mapping[str, Value]):
    """Keys in the order of the file. Numeric arrays are read-only numpy arrays, copied once.

    What was not decoded before its file is closed can no longer be had: ValueError.
    """

    def __init__(self, data: Buffer, stored: dict[str, _Stored]) -> None:
        self._data = data
        self._stored = stored
        self._decoded: dict[str, Value] = {}

    @classmethod
    def of(cls, values: Mapping[str, str | int | float | bool]) -> "Metadata":
        """Return metadata of plain values, of a file that is not there."""
        data = bytearray()
        stored: dict[str, _Stored] = {}
        for key, value in values.items():
            if isinstance(value, str):
                text = value.encode()
                stored[key] = _Text(len(data), len(text))
                data += text
            else:
                stored[key] = value
        return cls(bytes(data), stored)

    def detached(self) -> "Metadata":
        """Return the same without its file: long arrays and texts can be counted but no longer read."""
        kept = Metadata(b"", self._stored)
        for key, stored in self._stored.items():
            short = isinstance(stored, _Text) and stored.size <= _SHORT_TEXT
            if short or (isinstance(stored, _Array) and stored.count <= _SHORT_ARRAY):
                kept._decoded[key] = self[key]
        return kept

    def __getitem__(self, key: str) -> Value:
        stored = self._stored[key]
        if not isinstance(stored, _Text | _Array):
            return stored
        if key not in self._decoded:
            self._decoded[key] = self._decode(stored)
        return self._decoded[key]

    def __contains__(self, key: object) -> bool:
        return key in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def count(self, key: str) -> int:
        """Return how many items the array under `key` has; 0 when there is no array."""
        stored = self._stored.get(key)
        return stored.count if isinstance(stored, _Array) else 0

    def string(self, key: str, default: str | None = None) -> str | None:
        """Return a text; bytes that are no UTF-8 are replaced."""
        value = self[key] if isinstance(self._stored.get(key), _Text) else default
        return value if isinstance(value, str) else default

    def integer(self, key: str, default: int | None = None) -> int | None:
        """Return a whole number. An array of equal numbers counts as one (heads per layer)."""
        value = self._stored.get(key)
        if isinstance(value, _Array):
            items = set(self.integers(key))
            return items.pop() if len(items) == 1 else default
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def number(self, key: str, default: float | None = None) -> float | None:
        """Return a number as float."""
        value = self._stored.get(key)
        whole_or_not = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if whole_or_not else default  # type: ignore[arg-type]

    def flag(self, key: str, default: bool | None = None) -> bool | None:
        """Return a boolean."""
        value = self._stored.get(key)
        return value if isinstance(value, bool) else default

    def array(self, key: str, kinds: str) -> npt.NDArray[np.generic] | None:
        """Return a numeric array whose numpy kind (`i`, `u`, `f`) is one of `kinds`."""
        stored = self._stored.get(key)
        if not isinstance(stored, _Array) or stored.kind in (STRING, BOOL):
            return None
        value = self[key]
        return value if isinstance(value, np.ndarray) and value.dtype.kind in kinds else None

    def integers(self, key: str) -> list[int]:
        """Return an array of whole numbers, empty when there is none."""
        value = self.array(key, "iu")
        return [] if value is None else value.tolist()

    def numbers(self, key: str) -> npt.NDArray[np.float32] | None:
        """Return an array of numbers as float32, or None."""
        value = self.array(key, "iuf")
        return None if value is None else value.astype(np.float32)

    def strings(self, key: str) -> list[str]:
        """Return an array of texts, empty when there is none."""
        return [text.decode("utf-8", "replace") for text in self.raw_strings(key)]

    def raw_strings(self, key: str) -> list[bytes]:
        """Return an array of texts as the bytes they are: tokens need not be UTF-8."""
        value = self._stored.get(key)
        if not isinstance(value, _Array) or value.kind != STRING:
            return []
        return self._texts(value)

    def token_id(self, name: str) -> int | None:
        """Return `tokenizer.ggml.{name}_token_id`; None also for an id that no token has.

        Files write 4294967295, or another number past the vocabulary, for "there is none".
        """
        value = self.integer(f"tokenizer.ggml.{name}_token_id")
        count = self.count("tokenizer.ggml.tokens")
        return value if value is not None and 0 <= value < count else None

    def release(self) -> None:
        """Let go of the buffer; what was decoded stays."""
        if isinstance(self._data, memoryview):
            self._data.release()

    def _bytes(self, start: int, stop: int) -> bytes:
        data = bytes(self._data[start:stop])
        if len(data) != stop - start:
            raise ValueError("this metadata was detached from its file")
        return data

    def _texts(self, stored: _Array) -> list[bytes]:
        data = self._bytes(stored.start, stored.stop)
        at, texts = 0, []
        length_at = _SIZE.unpack_from
        for _ in range(stored.count):
            start = at + 8
            at = start + length_at(data, at)[0]
            texts.append(data[start:at])
        return texts

    def _decode(self, stored: _Text | _Array) -> Value:
        if isinstance(stored, _Text):
            data = self._bytes(stored.start, stored.start + stored.size)
            return data.decode("utf-8", "replace")
        if stored.kind == STRING:
            return [text.decode("utf-8", "replace") for text in self._texts(stored)]
        data = self._bytes(stored.start, stored.stop)
        if stored.kind == BOOL:
            return [byte != 0 for byte in data]
        return np.frombuffer(data, np.dtype(_LAYOUTS[stored.kind].format))


def read_pairs(c: Cursor, count: int) -> dict[str, _Stored]:
    """Read `count` pairs; raises SternaError."""
    if count > _MAX_PAIRS:
        raise corrupt(f"it claims {count} metadata entries")
    if count * 13 > c.room:
        raise truncated(f"{count} metadata entries cannot follow in {c.room} bytes")
    pairs: dict[str, _Stored] = {}
    key_bytes = 0
    for _ in range(count):
        raw = c.string("a metadata key", _MAX_KEY)
        key_bytes += len(raw)
        key = raw.decode("utf-8", "replace")
        if not key or key_bytes > _MAX_KEYS_BYTES:
            raise corrupt(
                "a metadata key is empty" if not key else "its metadata keys are too long"
            )
        if key in pairs:
            raise corrupt(f"the metadata key {shown(key)} stands there twice")
        (kind,) = c.numbers(_KIND, "the type of a metadata value")
        if key == "general.alignment" and kind != UINT32:
            raise corrupt("its alignment is not an unsigned 32-bit number")
        pairs[key] = _read_value(c, key, kind)
    return pairs


def encoded_pairs(c: Cursor, count: int) -> dict[str, bytes]:
    """Return every pair's value as it stands in the file, its type before it; raises SternaError."""
    encoded = {}
    for _ in range(count):
        key = c.string("a metadata key", _MAX_KEY).decode("utf-8", "replace")
        at = c.at
        (kind,) = c.numbers(_KIND, "the type of a metadata value")
        _read_value(c, key, kind)
        encoded[key] = bytes(c.data[at : c.at])
    return encoded


def _read_value(c: Cursor, key: str, kind: int) -> _Stored:
    layout = _LAYOUTS.get(kind)
    if layout is not None:
        return c.number(layout, "a metadata value")
    what = f"the value of {shown(key)}"
    if kind == STRING:
        (size,) = c.numbers(_SIZE, what)
        if _MAX_TEXT < size <= c.room:
            raise corrupt(f"{what} has {size} bytes")
        return _Text(c.step(size, what), size)
    if kind == ARRAY:
        return _read_array(c, what)
    raise corrupt(f"{what} has the unknown type {kind}")


def _read_array(c: Cursor, what: str) -> _Array:
    kind, count = c.numbers(_HEAD, what)
    if kind == STRING:
        start = c.at
        c.skip_strings(count, what)
        return _Array(kind, count, start, c.at)
    layout = _LAYOUTS.get(kind)
    if layout is None:
        raise corrupt(f"{what} is an array with items of type {kind}")
    size = count * layout.size
    if _MAX_ARRAY_BYTES < size <= c.room:
        raise corrupt(f"{what} has {size} bytes")
    start = c.step(size, what)
    return _Array(kind, count, start, start + size)
