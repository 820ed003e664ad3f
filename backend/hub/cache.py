"""The Hugging Face cache: where every tool looks for models, and finds what Sterna fetched.

models--OWNER--NAME/blobs/ETAG             the content, once
                    snapshots/COMMIT/PATH  a link to it
                    refs/REVISION          the commit that a branch was at
.locks/models--OWNER--NAME/ETAG.lock       held while a blob is written, by any tool
"""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from backend.errors import SternaError
from backend.hub import place
from backend.hub.partial import guarded
from backend.hub.variants import RemoteFile

_LONGEST = 240  # bytes of a name that every file system takes, with room for a suffix
_LONGEST_PATH = 1000
_LOCK_NAP_S = 0.3


def folder_of(repo: str) -> Path:
    """Return the folder of a repository."""
    return place.cache_dir() / "--".join(["models", *repo.split("/")])


def blob_path(repo: str, etag: str) -> Path:
    """Return where a content is kept."""
    return folder_of(repo) / "blobs" / etag


def snapshot_path(repo: str, commit: str, path: str) -> Path:
    """Return where a file of a commit is found; raises SternaError(unsafe_name)."""
    return folder_of(repo) / "snapshots" / commit / Path(*checked(path).split("/"))


def checked(path: str) -> str:
    """Return a file's path in its repository if it can be one on disk; raises SternaError(unsafe_name)."""
    parts = path.split("/")
    bad = (
        any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or any(ord(char) < 32 or 127 <= ord(char) < 160 for char in path)
        or any(PureWindowsPath(part).drive for part in parts)
        or PurePosixPath(path).is_absolute()
        or _too_long(path, parts)
    )
    if bad:
        raise SternaError(
            "unsafe_name",
            f"The repository has a file with a name that is not safe to write: {path[:120]!r}.",
            "It is not downloaded. Tell the owner of the repository.",
        )
    return path


def _too_long(path: str, parts: list[str]) -> bool:
    try:
        return len(path.encode()) > _LONGEST_PATH or any(len(p.encode()) > _LONGEST for p in parts)
    except UnicodeEncodeError:
        return True


def link(repo: str, commit: str, path: str, blob: Path) -> Path:
    """Make a file of a commit point to its content and return it; raises SternaError.

    Where the file system has no symbolic links it becomes a second name of the same file.
    """
    pointer = snapshot_path(repo, commit, path)
    inside = folder_of(repo)
    with guarded(inside):
        pointer.parent.mkdir(parents=True, exist_ok=True)
        root = inside.resolve()
        if not pointer.parent.resolve().is_relative_to(root):
            raise SternaError(
                "unsafe_name",
                f"{pointer.parent} leads out of the cache of this model.",
                "Remove the link there.",
            )
        target = Path(os.path.relpath(blob, pointer.parent))
        fresh = pointer.with_name(f".{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            fresh.symlink_to(target)
        except (OSError, NotImplementedError):
            fresh.hardlink_to(blob)
        fresh.replace(pointer)
    return pointer


def note_revision(repo: str, revision: str, commit: str) -> None:
    """Remember at which commit a branch is. Harmless if it cannot be written."""
    if revision == commit or ".." in revision.split("/"):
        return
    ref = folder_of(repo) / "refs" / revision
    with contextlib.suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        fresh = ref.with_name(f".{os.getpid()}-{threading.get_ident()}.tmp")
        fresh.write_text(commit)
        fresh.replace(ref)


@contextlib.contextmanager
def locked(repo: str, etag: str, stop: threading.Event) -> Iterator[bool]:
    """Hold the lock that all tools take to write a blob; False when `stop` came first.

    Raises SternaError where the cache cannot be written.
    """
    from huggingface_hub.utils import WeakFileLock

    folder = folder_of(repo)
    path = place.cache_dir() / ".locks" / folder.name / f"{etag}.lock"
    with contextlib.ExitStack() as held:
        with guarded(place.cache_dir()):
            path.parent.mkdir(parents=True, exist_ok=True)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):  # while another program writes it
                    held.enter_context(WeakFileLock(path, timeout=_LOCK_NAP_S))
                    break
        yield not stop.is_set()


def is_complete(repo: str, commit: str, files: Iterable[RemoteFile]) -> bool:
    """Whether all these files of a commit are in the cache."""
    try:
        return all(snapshot_path(repo, commit, file.path).is_file() for file in files)
    except (SternaError, OSError):
        return False
