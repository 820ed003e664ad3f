"""The same content several times on one disk: replaced by hard links, when the person asks."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing, suppress

import msgspec

from backend.database import Database
from backend.errors import SternaError
from backend.library import hashes
from backend.library.background import unhashed
from backend.library.files import LINKING, look_at
from backend.library.hashing import sha256_of
from backend.library.model import File, LibraryModel


class Duplicate(msgspec.Struct, frozen=True):
    """A content that lies on one disk more than once. `kept` stays, `others` can become links to it.

    A file with several names is in `others` by each of them. `apart` are further files that cannot
    be links, with the reason.
    """

    sha256: str
    kept: File
    others: tuple[File, ...]
    apart: tuple[tuple[File, str], ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes that linking frees: those of files all of whose names are known."""
        names = Counter(file.inode for file in self.others)
        files = {file.inode: file for file in self.others}
        return sum(file.size for inode, file in files.items() if names[inode] >= file.links)


def alike(models: Iterable[LibraryModel]) -> list[File]:
    """Return the files without a known hash that may be equal to another: of the same size."""
    models = list(models)
    inodes: dict[int, set[tuple[int, int]]] = {}
    for file in _files(models):
        inodes.setdefault(file.size, set()).add((file.device, file.inode))
    return [file for file in unhashed(models) if len(inodes.get(file.size, ())) > 1]


def duplicates(models: Iterable[LibraryModel]) -> list[Duplicate]:
    """Return what lies on this computer more than once, as far as hashes are known; largest first."""
    groups: dict[tuple[str, int], list[File]] = {}
    for file in _files(models):
        if file.sha256:
            groups.setdefault((file.sha256, file.device), []).append(file)
    several = [group for group in groups.values() if len({file.inode for file in group}) > 1]
    return sorted(map(_duplicate, several), key=lambda duplicate: -duplicate.bytes)


def link(
    duplicate: Duplicate,
    *,
    progress: Callable[[str, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> int:
    """Replace each of the others by a hard link to the one that is kept; return the bytes freed.

    All are read once more right before: only equal contents are linked. Each is replaced in one
    step, so that its name is never without its content. Raises SternaError: changed, damaged,
    not_allowed, and what reading raises; StoppedError.
    """
    freed, read = 0, set()
    _require(duplicate, duplicate.kept, progress, stop)
    for file in duplicate.others:
        if file.inode not in read:
            _require(duplicate, file, progress, stop)
            read.add(file.inode)
        kept = look_at(duplicate.kept.path)
        if kept is None or _stamp(kept) != _stamp(duplicate.kept):
            raise _changed(duplicate.kept)
        last = os.stat(file.path).st_nlink == 1
        _replace(os.path.realpath(file.path), os.path.realpath(duplicate.kept.path), file)
        freed += file.size if last else 0
    return freed


def _files(models: Iterable[LibraryModel]) -> Iterable[File]:
    """Return the files that may be linked: that of the starter model belongs to the program."""
    for model in models:
        for copy in model.copies:
            if copy.connected and copy.store != "starter":
                yield from copy.files


def _duplicate(group: list[File]) -> Duplicate:
    names = {os.path.realpath(file.path): file for file in group}  # snapshots share a blob's name
    kept = min(names.values(), key=lambda file: (-file.links, file.modified, file.path))
    others, apart = [], []
    for file in names.values():
        if file.inode == kept.inode:
            continue
        reason = _why_not(kept.path, file.path)
        if reason:
            apart.append((file, reason))
        else:
            others.append(file)
    return Duplicate(kept.sha256 or "", kept, tuple(others), tuple(apart))


def _why_not(kept: str, other: str) -> str | None:
    """Return why one file cannot be a link to another: a link has the owner and rights of both."""
    try:
        one, two = os.stat(kept), os.stat(other)
    except OSError:
        return "it is gone"
    if (one.st_uid, one.st_gid) != (two.st_uid, two.st_gid):
        return "it belongs to another user"
    if stat.S_IMODE(one.st_mode) & 0o444 != stat.S_IMODE(two.st_mode) & 0o444:
        return "other users may read only one of the two"
    if not os.access(os.path.dirname(os.path.realpath(other)), os.W_OK):
        return "its folder cannot be written"
    return None


def _require(
    duplicate: Duplicate,
    file: File,
    progress: Callable[[str, int], None] | None,
    stop: Callable[[], bool] | None,
) -> None:
    """Read a file again; raises SternaError unless it has the content that was believed."""
    told = None if progress is None else lambda count: progress(file.path, count)
    digest = sha256_of(file, progress=told, stop=stop)
    if digest == duplicate.sha256:
        return
    with (
        suppress(SternaError),
        closing(Database.open()) as database,
        database.writing() as connection,
    ):
        hashes.record(connection, file, digest, duplicate.sha256)
    raise SternaError(
        "damaged",
        f"{file.path} is damaged: its content has changed. Nothing of it was linked.",
        "Delete it and download it again.",
    )


def _replace(other: str, kept: str, looked: File) -> None:
    """Give `other` the content of `kept`; raises SternaError."""
    fresh = f"{os.path.dirname(other)}/.{os.getpid()}{LINKING}"
    try:
        with suppress(FileNotFoundError):
            os.unlink(fresh)
        os.link(kept, fresh)
        try:
            now = look_at(other)
            if now is None or _stamp(now) != _stamp(looked):
                raise _changed(looked)
            os.replace(fresh, other)
        except BaseException:
            os.unlink(fresh)
            raise
    except OSError as error:
        raise SternaError(
            "not_allowed", f"{other} cannot be linked: {error.strerror}.", "It stays as it is."
        ) from error


def _stamp(file: File) -> tuple[int, int, int, int]:
    return file.size, file.modified, file.device, file.inode


def _changed(file: File) -> SternaError:
    return SternaError(
        "changed",
        f"{file.path} has changed while it was looked at. It stays as it is.",
        "Try again when nothing writes to it.",
    )
