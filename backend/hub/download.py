"""One model: all its files into the cache, in order, with what happens told as events."""

import contextlib
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.errors import SternaError
from backend.hub import cache, elsewhere
from backend.hub.locate import Source, locate
from backend.hub.order import Fetched, Order
from backend.hub.transfer import Means, Progress, StoppedError, Transfer
from backend.hub.variants import RemoteFile

Event = dict[str, Any]
_CHUNK = 4 << 20


@dataclass
class _Standing:
    """Where a download is, over all its files."""

    total: int
    before: int = 0  # bytes of the files that are complete
    ready: list[Fetched] = field(default_factory=list)


class Download:
    """Fetches an order. Events go to `tell`; those that end it are the last.

    Events, each a dict with `event`: `start` (repo, commit, quant, license, files, bytes), `file`
    (path, bytes), `progress` (bytes, total, speed, eta_s), `stalled` (seconds, retry, message),
    `checking`, `linked` (path, from), `done` (path, bytes, sha256, files).
    """

    def __init__(
        self,
        order: Order,
        means: Means,
        stop: threading.Event,
        tell: Callable[[Event], None],
        find: elsewhere.Finder = elsewhere.by_name,
    ) -> None:
        self._order = order
        self._means = means
        self._stop = stop
        self._tell = tell
        self._find = find
        self._standing = _Standing(order.bytes)

    def run(self) -> list[Fetched]:
        """Fetch everything; raises SternaError or StoppedError, and what was fetched is kept."""
        order, standing = self._order, self._standing
        for file in order.files:
            cache.checked(file.path)
        self._tell(
            {
                "event": "start",
                "repo": order.repo,
                "commit": order.commit,
                "quant": order.quant,
                "license": order.license or None,
                "files": [file.path for file in order.files],
                "bytes": order.bytes,
            }
        )
        for file in order.files:
            fetched = self._one(file)
            standing.ready.append(fetched)
            standing.before += fetched.bytes
            standing.total += fetched.bytes - (file.size or 0)
        cache.note_revision(order.repo, order.revision, order.commit)
        self._tell(done_event(standing.ready, order))
        return standing.ready

    def _one(self, file: RemoteFile) -> Fetched:
        """Have one file in the cache: it is there, or on this disk, or it is fetched."""
        repo, commit = self._order.repo, self._order.commit
        pointer = cache.snapshot_path(repo, commit, file.path)
        if file.sha256 and (there := self._there(pointer, file)):
            return there
        transfer = Transfer(lambda: self._located(file), self._means, self._stop, self._progress)
        source = transfer.source()
        blob = cache.blob_path(repo, source.etag)
        self._tell({"event": "file", "path": file.path, "bytes": source.size})
        with cache.locked(repo, source.etag, self._stop) as ours:
            if not ours:
                raise StoppedError
            digest, linked = self._content(transfer, source, blob)
            path = pointer if pointer.exists() else cache.link(repo, commit, file.path, blob)
        return Fetched(path, source.size, digest, linked)

    def _content(self, transfer: Transfer, source: Source, blob: Path) -> tuple[str, bool]:
        """Have the content as a blob; return its sha256, and whether it was on this disk."""
        if blob.exists() and blob.stat().st_size == source.size:
            return source.sha256 or _sha256(blob), True
        if source.sha256:
            found = elsewhere.adopt(
                source.sha256,
                source.size,
                blob,
                self._find,
                self._stop,
                lambda done: self._progress(Progress("checking", done, source.size)),
            )
            if found is not None:
                self._tell({"event": "linked", "path": str(blob), "from": str(found)})
                return source.sha256, True
        return transfer.fetch(source, blob), False

    def _there(self, pointer: Path, file: RemoteFile) -> Fetched | None:
        """Return a file that the cache has already, without asking the Hub."""
        with contextlib.suppress(OSError):
            if pointer.resolve(strict=True).name == file.sha256:
                size = pointer.stat().st_size
                if size == file.size:
                    return Fetched(pointer, size, file.sha256 or "", linked=True)
        return None

    def _located(self, file: RemoteFile) -> Source:
        source = locate(self._order.repo, self._order.commit, file.path)
        if file.sha256 and source.sha256 and source.sha256 != file.sha256:
            raise SternaError(
                "changed",
                f"{file.path} on the Hub was replaced by another file.",
                "Start the download again to get the new one.",
            )
        if file.size is not None and source.size != file.size:
            raise SternaError(
                "bad_server",
                f"The Hub says {file.size} bytes of {file.path} in one place and {source.size} in another.",
                "Try again later.",
            )
        return source

    def _progress(self, progress: Progress) -> None:
        standing = self._standing
        done = standing.before + progress.done
        if progress.phase in ("stalled", "waiting"):
            self._tell(
                {
                    "event": "stalled",
                    "seconds": round(progress.still_for, 1),
                    "retry": progress.retries,
                    "message": progress.words,
                    "bytes": done,
                    "total": standing.total,
                }
            )
            return
        left = standing.total - done
        speed = progress.speed
        self._tell(
            {
                "event": "checking" if progress.phase == "checking" else "progress",
                "bytes": done,
                "total": standing.total,
                "speed": round(speed),
                "eta_s": round(left / speed, 1) if speed > 0 else None,
            }
        )


def done_event(fetched: list[Fetched], order: Order) -> Event:
    """Return the last event. `path` is the model: its file, the first part, or a checkpoint's folder."""
    first = fetched[0]
    whole = order.quant == "safetensors"
    return {
        "event": "done",
        "path": str(first.path.parent if whole else first.path),
        "bytes": sum(file.bytes for file in fetched),
        "sha256": first.sha256,
        "repo": order.repo,
        "quant": order.quant,
        "files": [
            {"path": str(f.path), "bytes": f.bytes, "sha256": f.sha256, "fetched": not f.linked}
            for f in fetched
        ],
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
