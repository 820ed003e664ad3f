"""SHA-256 of files that no store names by it: computed once, kept while the file stays as it is."""

import os
import sqlite3
import time
from collections.abc import Collection

import msgspec

from backend.library.model import File

_Stamp = tuple[int, int, int]
_KEPT = 90 * 86400.0  # seconds that the hash of a file that is gone is remembered


class Hash(msgspec.Struct, frozen=True):
    """A hash that was computed. `expected` is what it should have been, where it is another."""

    sha256: str
    at: float  # seconds since 1970
    expected: str | None = None


class Hashes:
    """The hashes of this computer, all in memory."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._by_path: dict[str, tuple[_Stamp, Hash]] = {}
        self._by_inode: dict[tuple[_Stamp, int], Hash] = {}
        query = (
            "SELECT path, size, modified, inode, device, sha256, at, expected FROM library_hashes"
        )
        for path, size, modified, inode, device, *rest in connection.execute(query):
            stamp, digest = (size, modified, inode), Hash(*rest)
            self._by_path[os.fsdecode(path)] = stamp, digest
            self._by_inode[stamp, device] = digest

    def of(self, file: File) -> Hash | None:
        """Return the hash of a file that has not changed, wherever on its disk it lay then.

        A disk that was away may come back with another number; its paths are then the same.
        """
        stamp = file.size, file.modified, file.inode
        known = self._by_path.get(file.path)
        if known is not None and known[0] == stamp:
            return known[1]
        return self._by_inode.get((stamp, file.device))

    def moved(self, files: Collection[File]) -> list[File]:
        """Return the files whose hash is known from another path of theirs."""
        return [file for file in files if file.path not in self._by_path and self.of(file)]

    def gone(self, paths: Collection[str], away: Collection[str]) -> list[str]:
        """Return the known paths that are none of `paths` and do not lie under a root that is away.

        Those of the last months count as there: a deletion is undone, a store is moved back.
        """
        old = time.time() - _KEPT
        return [
            path
            for path, (_, digest) in self._by_path.items()
            if path not in paths
            and digest.at < old
            and not any(path.startswith(f"{root}/") for root in away)
        ]


def record(
    connection: sqlite3.Connection, file: File, sha256: str, expected: str | None = None
) -> Hash:
    """Write the hash of a file, and what it should have been where that is another."""
    digest = Hash(sha256, time.time(), expected if expected != sha256 else None)
    connection.execute(
        "INSERT OR REPLACE INTO library_hashes"
        " (path, size, modified, inode, device, sha256, at, expected) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (os.fsencode(file.path), file.size, file.modified, file.inode, file.device,
         digest.sha256, digest.at, digest.expected),
    )  # fmt: skip
    connection.execute(  # so that what is noted follows the content
        "UPDATE library_marks SET sha256 = ? WHERE path = ? AND sha256 IS NULL",
        (sha256, os.fsencode(file.path)),
    )
    return digest


def forget(connection: sqlite3.Connection, paths: Collection[str]) -> None:
    """Drop the hashes of files that are gone."""
    connection.executemany(
        "DELETE FROM library_hashes WHERE path = ?", ((os.fsencode(path),) for path in paths)
    )
