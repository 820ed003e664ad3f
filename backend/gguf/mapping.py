"""Mapping a file into memory, with a clear word for everything that is not a readable file."""

import errno
import mmap
import os
import stat
from pathlib import Path

from backend.errors import SternaError

_WRONG_PLACE = (errno.ENOENT, errno.ENOTDIR)
_CHECK_PATH = "Check the path; `sterna ls` lists the models on this computer."


def map_file(path: Path) -> tuple[mmap.mmap, int]:
    """Return a read-only map of the whole file, and its descriptor, to be closed; raises SternaError.

    Neither a pipe nor a device is opened: both may block or act on being opened.
    """
    try:
        _require_file(path, path.stat().st_mode)
        # Should a pipe have taken the file's place since, this keeps the open from waiting for it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        status = os.fstat(descriptor)
        _require_file(path, status.st_mode)
        if not status.st_size:
            raise SternaError("truncated", f"{path} is empty.", "Download it again.")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), descriptor
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, (OSError, ValueError)):
            raise _unreadable(path, error) from None
        raise


def _require_file(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise SternaError(
            "not_gguf", f"{path} is a folder.", "Give the path of a .gguf file inside it."
        )
    if not stat.S_ISREG(mode):
        raise SternaError(
            "not_gguf", f"{path} is not an ordinary file.", "Give the path of a .gguf file."
        )


def _unreadable(path: Path, error: OSError | ValueError) -> SternaError:
    number = error.errno if isinstance(error, OSError) else None
    if number in _WRONG_PLACE:
        return SternaError("not_found", f"There is no file {path}.", _CHECK_PATH)
    if number in (errno.EACCES, errno.EPERM):
        return SternaError(
            "unreadable", f"{path} may not be read by this user.", "Change its permissions."
        )
    if number == errno.ENOMEM:
        return SternaError(
            "out_of_memory",
            f"There is no address space left to map {path}.",
            "Close other models, or raise the limit on virtual memory (ulimit -v).",
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return SternaError("unreadable", f"{path} cannot be read: {reason}.", _CHECK_PATH)
