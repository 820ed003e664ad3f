"""What was read of each model, and on which disks, in the SQLite file: a second look opens no model."""

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping

import msgspec

from backend.library.model import File, Found
from backend.library.summary import Summary, plain

_COLUMNS = (
    "place, path, root, store, name, size, modified, inode, parts, sha256,"
    " title, arch, params, quant, context, kind, error"
)
_MARKS = ",".join("?" * len(_COLUMNS.split(",")))


class Entry(msgspec.Struct):
    """A model as it was when it was last read: its files' stamp, and what was in them."""

    found: Found
    stamp: tuple[int, int, int, int]
    summary: Summary


class Index:
    """All entries in memory; `save` writes what changed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM library_models")
        self._entries = {entry.found.place: entry for entry in map(_entry, rows)}
        self._filesystems = {
            os.fsdecode(path): str(filesystem)
            for path, filesystem in connection.execute("SELECT * FROM library_roots")
        }
        self._new: list[Entry] = []

    def get(self, found: Found) -> Summary | None:
        """Return what was read of these files, if they have not changed since."""
        entry = self._entries.get(found.place)
        return entry.summary if entry and entry.stamp == _stamp(found) else None

    def put(self, found: Found, summary: Summary) -> None:
        """Remember a model."""
        self._new.append(Entry(found, _stamp(found), summary))

    def remembered(self, root: str) -> Iterator[tuple[Found, Summary]]:
        """Yield what a root held when it was last there."""
        for entry in self._entries.values():
            if entry.found.root == root:
                yield entry.found, entry.summary

    def filesystem(self, root: str) -> str | None:
        """Return the file system on which a root lay when it was last there."""
        return self._filesystems.get(root)

    def changed(self, places: Collection[str], roots: Mapping[str, str]) -> bool:
        """Whether `save` would write anything."""
        moved = any(self._filesystems.get(root) != where for root, where in roots.items())
        return moved or bool(self._new) or len(self._entries) != len(places)

    def save(
        self, connection: sqlite3.Connection, places: Collection[str], roots: Mapping[str, str]
    ) -> None:
        """Write what is new and forget all but `places`. `roots` are there, on these file systems."""
        gone = [(os.fsencode(place),) for place in self._entries if place not in places]
        connection.executemany("DELETE FROM library_models WHERE place = ?", gone)
        connection.executemany(
            f"INSERT OR REPLACE INTO library_models ({_COLUMNS}) VALUES ({_MARKS})",
            map(_values, self._new),
        )
        connection.executemany(
            "INSERT OR REPLACE INTO library_roots (path, filesystem) VALUES (?, ?)",
            ((os.fsencode(root), where) for root, where in roots.items()),
        )
        connection.execute(  # so that what is noted follows the content
            "UPDATE library_marks SET sha256 = m.sha256 FROM library_models AS m"
            " WHERE library_marks.path = m.path AND library_marks.sha256 IS NULL"
        )


def _stamp(found: Found) -> tuple[int, int, int, int]:
    """Return what changes when the files do: bytes, newest time, first inode, number of parts."""
    newest = max(file.modified for file in found.files)
    return found.size, newest, found.files[0].inode, len(found.files)


def _entry(row: sqlite3.Row) -> Entry:
    place, path, root, store, name, size, modified, inode, parts, sha256, *summary = row
    place, path = os.fsdecode(place), os.fsdecode(path)
    files = (File(path, size, modified, 0, inode, 1, sha256),)
    origin = place if place != path else ""
    found = Found(path, store, os.fsdecode(root), files, name, origin)
    return Entry(found, (size, modified, inode, parts), Summary(*summary))


def _values(entry: Entry) -> tuple[object, ...]:
    found, summary = entry.found, entry.summary
    sha256 = found.files[0].sha256 if len(found.files) == 1 else None
    paths = (os.fsencode(path) for path in (found.place, found.path, found.root))
    return (
        *paths, found.store, plain(found.name), *entry.stamp, sha256, summary.title, summary.arch,
        summary.params, summary.quant, summary.context, summary.kind, summary.error,
    )  # fmt: skip
