"""Hashing of loose files while nobody waits for it."""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import partial

from backend.database import Database
from backend.errors import SternaError
from backend.library import hashes
from backend.library.hashing import StoppedError, sha256_of
from backend.library.model import File, LibraryModel


def unhashed(models: Iterable[LibraryModel]) -> list[File]:
    """Return the files whose hash is not known, the most useful first.

    Only files of the same size can be equal, so those come first, and the small before the large.
    """
    files: dict[tuple[int, int], File] = {}
    sizes: dict[int, int] = {}
    for model in models:
        for copy in model.copies:
            for file in copy.files if copy.connected else ():
                if (file.device, file.inode) not in files:
                    files[file.device, file.inode] = file
                    sizes[file.size] = sizes.get(file.size, 0) + 1
    unknown = [file for file in files.values() if file.sha256 is None]
    return sorted(unknown, key=lambda file: (sizes[file.size] == 1, file.size))


def remember(
    files: Iterable[File],
    *,
    progress: Callable[[str, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> int:
    """Hash files and keep each hash as it is done; return how many. Raises StoppedError.

    Files that cannot be read, or have changed, are left out: the next look tells.
    """
    count = 0
    for file in files:
        with suppress(SternaError):
            told = None if progress is None else partial(progress, file.path)
            digest = sha256_of(file, progress=told, stop=stop)
            with closing(Database.open()) as database, database.writing() as connection:
                hashes.record(connection, file, digest)
            count += 1
    return count


class Hasher(threading.Thread):
    """Hashes files one after another at the lowest priority.

    Stopped at any moment (`stop`, or the end of the process) it loses the file that it was reading
    and no more; the next one goes on with what is still unknown. `done` is called in its thread
    when all are hashed.
    """

    def __init__(self, files: list[File], done: Callable[[], None]) -> None:
        super().__init__(name="sterna-hashing", daemon=True)
        self._files = files
        self._done = done
        self._stop_wanted = threading.Event()

    def stop(self) -> None:
        """Ask it to end."""
        self._stop_wanted.set()

    def run(self) -> None:
        """Work through the files."""
        if sys.platform == "linux":  # elsewhere priorities belong to processes
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        with suppress(StoppedError):
            remember(self._files, stop=self._stop_wanted.is_set)
            self._done()
