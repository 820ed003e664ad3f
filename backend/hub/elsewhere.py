"""The same content in another store of this disk: it is linked, not fetched.

Stores that name files by their SHA-256 tell without a look into them. What is found is read once and
hashed before it is believed.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.hub import place

_CHUNK = 4 << 20

Finder = Callable[[str, int], Iterator[Path]]


def by_name(sha256: str, size: int) -> Iterator[Path]:
    """Yield files that claim to be this content: blobs of the Hugging Face cache and of Ollama."""
    candidates = [*place.cache_dir().glob(f"models--*/blobs/{sha256}")]
    candidates += [root / "blobs" / f"sha256-{sha256}" for root in _ollama()]
    for path in candidates:
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_size == size:
                yield path


def _ollama() -> list[Path]:
    explicit = os.environ.get("OLLAMA_MODELS")
    if explicit:
        return [Path(explicit).expanduser()]
    return [Path("~/.ollama/models").expanduser(), Path("/usr/share/ollama/.ollama/models")]


def adopt(
    sha256: str,
    size: int,
    blob: Path,
    find: Finder,
    stop: threading.Event,
    report: Callable[[int], None],
) -> Path | None:
    """Make `blob` another name of the same content on this disk; return where it was, None: nowhere.

    A hard link where the disk allows it: the content then stays if the other program deletes its
    own. Otherwise a symbolic link. `report` gets the bytes that have been checked.
    """
    for path in find(sha256, size):
        real = path.resolve()
        if real == blob.resolve() or not _is(real, sha256, stop, report):
            continue
        fresh = blob.with_name(f"{blob.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            blob.parent.mkdir(parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            try:
                fresh.hardlink_to(real)
            except OSError:  # another disk, or a file of another user
                fresh.symlink_to(real)
            fresh.replace(blob)
            return path
    return None


def _is(path: Path, sha256: str, stop: threading.Event, report: Callable[[int], None]) -> bool:
    digest, done = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if stop.is_set():
                    return False
                digest.update(chunk)
                done += len(chunk)
                report(done)
    except OSError:
        return False
    return digest.hexdigest() == sha256
