"""Looking over folders that may hold anything: loops of links, names of any bytes, files that vanish."""

import os
import re
import stat
from collections.abc import Iterator

from backend.library.model import File

TRASH = ".sterna-trash"  # never looked into
LINKING = ".sterna-link"  # the end of a link's name before it takes its place
MAX_DEPTH = 8
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL | re.I)
_MOST = (1 << 63) - 1  # what a column of SQLite can hold


def entries(folder: str) -> list[os.DirEntry[str]]:
    """Return what is in a folder, by name; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []


def walk(folder: str, *, follow: bool = True) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield every folder at or below `folder`, with the files in it.

    Links to folders are followed once, and only out of the tree: what lies in it is met anyway. Not
    followed, they count as files.
    """
    followed: set[str] = set()
    waiting = [(folder, 0)]
    while waiting:
        where, depth = waiting.pop()
        files, below = [], []
        for entry in entries(where):
            if not _is_folder(entry, follow):
                files.append(entry)
            elif depth < MAX_DEPTH and entry.name != TRASH:
                if entry.is_symlink() and not _leads_out(entry.path, folder, followed):
                    continue
                below.append((entry.path, depth + 1))
        waiting += reversed(below)
        yield where, files


def _is_folder(entry: os.DirEntry[str], follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False


def _leads_out(link: str, folder: str, followed: set[str]) -> bool:
    target, top = os.path.realpath(link), os.path.realpath(folder)
    both = os.path.commonpath((target, top))
    if both in (target, top) or target in followed:
        return False
    followed.add(target)
    return True


def look_at(path: str, sha256: str | None = None) -> File | None:
    """Return a file as it is now, None where there is none (any more) or it is no plain file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    size, modified, inode = stamp_of(status)
    return File(path, size, modified, status.st_dev & _MOST, inode, status.st_nlink, sha256)


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """Return size, time and inode of a file: what changes when its content does."""
    return status.st_size, min(status.st_mtime_ns, _MOST), status.st_ino & _MOST


def is_model(name: str) -> bool:
    """Whether a file of this name may be a model."""
    return name.lower().endswith(".gguf")


def grouped(names: list[str]) -> Iterator[list[str]]:
    """Yield the file names of each model of one folder: one, or the parts of a split one in order."""
    splits: dict[tuple[str, str], list[str]] = {}
    for name in names:
        match = _PART.fullmatch(name)
        if match is None:
            yield [name]
        else:
            splits.setdefault((match["stem"], match["count"]), []).append(name)
    for parts in splits.values():
        yield sorted(parts)


def without_part(name: str) -> str:
    """Return the name of a model's file without the number of the part."""
    match = _PART.fullmatch(name)
    return f"{match['stem']}.gguf" if match else name


def filesystem(path: str) -> str:
    """Return what tells the file system of `path` from others, also after it was away.

    Where `path` is gone, that of the nearest folder above it that is not.
    """
    while True:
        try:
            known = os.statvfs(path).f_fsid
            return f"{known:x}" if known else f"device {os.stat(path).st_dev:x}"
        except (OSError, ValueError):
            above = os.path.dirname(path)
            if above == path:
                return ""
            path = above
