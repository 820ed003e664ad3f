"""SHA-256 of model files: read once from end to end, with progress, stopped at any moment."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable

from backend.errors import SternaError
from backend.library.files import stamp_of
from backend.library.model import File

CHUNK = 4 << 20  # bytes


class StoppedError(Exception):
    """Somebody asked to stop."""


def sha256_of(
    file: File,
    *,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits.

    `progress` is told the bytes of each piece. What is read is not left in the memory that the
    system keeps files in: a model that is in use shall not be pushed out by others that are
    checked. Raises StoppedError, and SternaError: not_found, unreadable, disk_error, changed (the
    file is not the one that was looked at, or was written to meanwhile).
    """
    try:
        # A pipe that has taken the file's place since must not keep the open waiting.
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(file, error) from None
    try:
        _require_same(file, descriptor)
        digest = _digest(descriptor, progress, stop)
        _require_same(file, descriptor)
    except OSError as error:
        raise _unreadable(file, error) from None
    finally:
        os.close(descriptor)
    return digest


def _digest(
    descriptor: int,
    progress: Callable[[int], None] | None,
    stop: Callable[[], bool] | None,
) -> str:
    digest, buffer, place = hashlib.sha256(), memoryview(bytearray(CHUNK)), 0
    while count := os.readv(descriptor, [buffer]):
        if stop is not None and stop():
            raise StoppedError
        digest.update(buffer[:count])
        if hasattr(os, "posix_fadvise"):  # pages that a process has mapped stay all the same
            os.posix_fadvise(descriptor, place, count, os.POSIX_FADV_DONTNEED)
        place += count
        if progress is not None:
            progress(count)
    return digest.hexdigest()


def _require_same(file: File, descriptor: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or stamp_of(status) != (
        file.size,
        file.modified,
        file.inode,
    ):
        raise SternaError(
            "changed",
            f"{os.path.basename(file.path)} has changed while it was looked at.",
            "Try again when nothing writes to it.",
        )


def _unreadable(file: File, error: OSError) -> SternaError:
    name = os.path.basename(file.path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SternaError("not_found", f"{name} is gone.", "`sterna ls` lists what is there.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SternaError(
            "unreadable", f"{file.path} may not be read by this user.", "Change its permissions."
        )
    if error.errno == errno.EIO:
        return SternaError(
            "disk_error",
            f"The disk cannot read all of {file.path}.",
            "Check the disk; download the model again.",
        )
    return SternaError("unreadable", f"{file.path} cannot be read: {error.strerror}.", "")
