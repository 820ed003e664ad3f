"""Whether a file still is what its name says, or what it was when it was first hashed."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import msgspec

from backend.database import Database
from backend.errors import SternaError
from backend.library import hashes
from backend.library.hashes import Hashes
from backend.library.hashing import sha256_of
from backend.library.model import Copy, File, LibraryModel
from backend.library.stores import STORES

STATES = {
    "ok": "ok",
    "damaged": "damaged",
    "recorded": "recorded: nothing to compare with until now",
    "unreadable": "cannot be read",
    "not_connected": "its disk is not connected",
}


class Check(msgspec.Struct, frozen=True):
    """What was found about one file: one of STATES, and where it failed, the error."""

    path: str
    bytes: int
    state: str
    sha256: str | None = None
    expected: str | None = None
    error: SternaError | None = None


def files_of(models: Iterable[LibraryModel]) -> list[tuple[Copy, File]]:
    """Return the files of all places of these models, each content on disk once."""
    seen: dict[object, tuple[Copy, File]] = {}
    for model in models:
        for copy in model.copies:
            for file in copy.files:
                key = (file.device, file.inode) if copy.connected else file.path
                seen.setdefault(key, (copy, file))
    return list(seen.values())


def verify(
    files: Iterable[tuple[Copy, File]],
    *,
    progress: Callable[[str, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Check]:
    """Read each file and yield what it turned out to be; what was computed is kept.

    `progress` is told the path and the bytes of each piece. Raises StoppedError.
    """
    with closing(_database()) as database:
        with database.reading() as connection:
            known = Hashes(connection)
        for copy, file in files:
            if not copy.connected:
                yield Check(file.path, file.size, "not_connected")
                continue
            expected = expectation(copy, file, known)
            try:
                told = _told(progress, file.path)
                digest = sha256_of(file, progress=told, stop=stop)
            except SternaError as error:
                yield Check(file.path, file.size, "unreadable", None, expected, error)
                continue
            with database.writing() as connection:
                hashes.record(connection, file, digest, expected)
            state = "recorded" if expected is None else "ok" if digest == expected else "damaged"
            yield Check(file.path, file.size, state, digest, expected)


def expectation(copy: Copy, file: File, known: Hashes) -> str | None:
    """Return the hash that a file should have: by its store's word, else by what was computed first."""
    said = STORES[copy.store].hash_in_name(file.path)
    computed = known.of(file)
    if said is None and computed is not None:
        said = computed.expected or computed.sha256
    return said or file.sha256


def _told(progress: Callable[[str, int], None] | None, path: str) -> Callable[[int], None] | None:
    return None if progress is None else lambda count: progress(path, count)


def _database() -> Database:
    try:
        return Database.open()
    except SternaError:  # the check is as true when it cannot be kept
        return Database.in_memory()


def name_of(check: Check) -> str:
    """Return the name of the file."""
    return os.path.basename(check.path)
