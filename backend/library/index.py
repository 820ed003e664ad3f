"""What was read of each file, kept so that a second listing opens none of them."""

import contextlib
import os
from pathlib import Path

import msgspec

from backend import paths

VERSION = 1


class Entry(msgspec.Struct, array_like=True):
    """The summary of one file as it was at a size and a time."""

    size: int
    modified: int
    name: str
    arch: str
    params: int
    quant: str
    bytes: int
    context: int | None
    kind: str
    error: str | None


class _Stored(msgspec.Struct):
    version: int
    entries: dict[str, Entry]


class Index:
    """Entries by the real path of their file. A damaged or old index is simply made anew."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or paths.cache_dir() / "library.msgpack"
        self._entries: dict[str, Entry] = {}
        self._changed = False
        with contextlib.suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
            stored = msgspec.msgpack.decode(self._path.read_bytes(), type=_Stored)
            if stored.version == VERSION:
                self._entries = stored.entries

    def get(self, path: str, size: int, modified: int) -> Entry | None:
        """Return the entry of an unchanged file."""
        entry = self._entries.get(path)
        return entry if entry and (entry.size, entry.modified) == (size, modified) else None

    def put(self, path: str, entry: Entry) -> None:
        """Remember a file."""
        self._entries[path] = entry
        self._changed = True

    def save(self) -> None:
        """Write the index if it changed; one that cannot be written is no loss."""
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(f".{os.getpid()}.tmp")
            fresh.write_bytes(msgspec.msgpack.encode(_Stored(VERSION, self._entries)))
            fresh.replace(self._path)
            self._changed = False
