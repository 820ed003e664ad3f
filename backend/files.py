"""A new file that is there whole or not at all."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from backend.errors import SternaError
from backend.units import human_bytes

_NO_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


@contextlib.contextmanager
def whole_file(path: Path, expected: int) -> Iterator[BinaryIO]:
    """Open a file of about `expected` bytes for writing; it takes the name `path` when all went well.

    Until then nothing is seen of it, and whatever had the name stays. Where the system can, the file
    has no name at all, so that even a killed program leaves nothing behind. Raises SternaError
    disk_full, not_found, unwritable.
    """
    check_place(path, expected)
    hidden = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        descriptor, named = _open(hidden)
    except OSError as error:
        raise _failure(path, error) from None
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not named:
                _give_name(file.fileno(), hidden)
                named = True
        hidden.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _failure(path, error) from None
    finally:
        if named:
            with contextlib.suppress(OSError):
                hidden.unlink()


def check_place(path: Path, expected: int) -> None:
    """Raise SternaError where no file of `expected` bytes can be written to `path`."""
    if path.is_dir():
        raise SternaError("unwritable", f"{path} is a folder.", "Give the name of a file.")
    if not path.parent.is_dir():
        raise SternaError("not_found", f"There is no folder {path.parent}.", "Make it first.")
    free = shutil.disk_usage(path.parent).free
    if expected > free:
        raise SternaError(
            "disk_full",
            f"{path.name} needs {human_bytes(expected)} and the disk has {human_bytes(free)} free.",
            "Make room, or write to another disk.",
        )


def _open(hidden: Path) -> tuple[int, bool]:
    """Return a descriptor and whether the file has the name `hidden`."""
    unnamed = getattr(os, "O_TMPFILE", 0)
    if unnamed and Path("/proc/self/fd").is_dir():
        try:
            return os.open(hidden.parent, unnamed | os.O_RDWR | os.O_CLOEXEC, 0o666), False
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        hidden.unlink()
    return os.open(hidden, flags, 0o666), True


def _give_name(descriptor: int, path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:  # with a folder given, the link is followed to the file itself
        source = f"/proc/self/fd/{descriptor}"
        os.link(source, path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some systems cannot: the file itself is safe
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _failure(path: Path, error: OSError) -> SternaError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SternaError(
            "disk_full",
            f"The disk was full before {path.name} was written.",
            "Nothing is left of it; make room, or write to another disk.",
        )
    if error.errno == errno.EFBIG:
        return SternaError(
            "disk_full",
            f"The file system takes no file as large as {path.name}.",
            "Write to a disk with another file system.",
        )
    return SternaError(
        "unwritable",
        f"{path} cannot be written: {error.strerror or error}.",
        "Check the folder's permissions.",
    )
