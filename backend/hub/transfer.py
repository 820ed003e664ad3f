"""One file: from the Hub to its place in the cache, whatever happens on the way.

Connections fetch pieces in parallel; a hasher follows them through the file; the caller's thread watches:
progress, stalls, room on the disk, the wish to stop. A connection that fails waits longer each time and
goes on at the byte where it was, for hours if need be. The whole file's hash decides in the end.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from backend.errors import SternaError
from backend.hub.crew import Crew
from backend.hub.hashing import Hasher
from backend.hub.locate import Source
from backend.hub.pace import Speedometer, Throttle
from backend.hub.partial import Partial, piece_for
from backend.hub.room import Room
from backend.hub.wire import RetryableError
from backend.hub.work import PASSING, Patience, Trouble, Work

_ROOM_EVERY_S = 2.0
_BATCHES = 32  # in which a file is fetched again while a bad piece is looked for


class StoppedError(Exception):
    """Somebody wished the transfer to stop; what is fetched is kept."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a transfer stands. `speed` is bytes a second over the last five seconds.

    `phase` is waiting (for an answer), downloading, stalled or checking; in `stalled`, nothing has
    come for `still_for` seconds, and `retries` attempts have failed, the last one as `words` say.
    """

    phase: str
    done: int
    total: int
    speed: float = 0.0
    still_for: float = 0.0
    retries: int = 0
    words: str = ""


@dataclass(frozen=True)
class Means:
    """With what transfers work; throttle and room are shared by all of a process.

    Files of `small` bytes or less are not worth a second connection. `piece` is how many bytes are
    journalled at once, 0: as the file is long.
    """

    throttle: Throttle = field(default_factory=Throttle)
    room: Room = field(default_factory=Room)
    patience: Patience = field(default_factory=Patience)
    connections: int = 4
    piece: int = 0
    small: int = 8 << 20
    tick: float = 0.2  # seconds between two looks at it


class Transfer:
    """Fetches one file. `stop` may be set from any thread; what is on disk then is gone on with."""

    def __init__(
        self,
        locate: Callable[[], Source],
        means: Means,
        stop: threading.Event,
        report: Callable[[Progress], None],
    ) -> None:
        self._locate = locate
        self._means = means
        self._stop = stop
        self._report = report
        self._meter = Speedometer()

    def source(self) -> Source:
        """Ask where the file is, again and again while the Hub cannot be reached.

        Raises SternaError or StoppedError.
        """
        trouble = Trouble(self._means.patience)
        attempt = 0
        while True:
            try:
                return self._locate()
            except SternaError as error:
                if error.kind not in PASSING:
                    raise
                attempt += 1
                trouble.note(RetryableError(error.message))
                still = self._meter.still_for
                self._report(Progress("waiting", 0, 0, 0.0, still, attempt, error.message))
                trouble.wait(attempt, 0, self._stop)
            if self._stop.is_set():
                raise StoppedError

    def fetch(self, source: Source, blob: Path) -> str:
        """Bring the file to `blob` and return its sha256.

        Raises SternaError (disk_full, read_only, disk_error, changed, bad_server, hash_mismatch,
        offline, gated_licence, …) or StoppedError; in every case what was fetched is kept.
        """
        partial = Partial(blob, source.size, self._means.piece or piece_for(source.size))
        work = None
        try:
            work = Work(
                source,
                self._locate,
                partial,
                self._means.throttle,
                self._means.patience,
                self._means.connections,
            )
            hasher = self._hashed(work, Hasher(work))
            if not hasher.right:
                hasher = self._mended(work, hasher)
            partial.publish()
            return hasher.digest
        finally:
            self._means.room.release(self)
            if work is None or not work.pieces_in_use:
                partial.close()
            if work is not None:
                work.wire.close()

    # --- the parts of it -----------------------------------------------------------------------

    def _hashed(self, work: Work, hasher: Hasher) -> Hasher:
        """Fetch what is missing and hash it all; return the hasher, finished."""
        self._complete(work, hasher)
        return hasher

    def _complete(self, work: Work, hasher: Hasher | None = None) -> None:
        """Fetch what is missing; with a hasher, until it has read everything."""
        self._check_room(work)
        work.stop = threading.Event()

        def over() -> bool:
            return hasher.finished if hasher else work.pieces.complete

        most = self._means.connections if work.pieces.size > self._means.small else 1
        crew = Crew(work, most, hasher)
        try:
            while not over() and not work.stop.is_set():
                self._watch(work, over, crew)
        except SternaError as error:
            work.fail(error)
        finally:
            crew.dismiss()
        if work.failure is not None:
            raise work.failure
        if not over():
            raise StoppedError

    def _watch(self, work: Work, over: Callable[[], bool], crew: Crew) -> None:
        """Look after a running transfer for a while; all that ends or changes it is seen within a tick."""
        until = time.monotonic() + _ROOM_EVERY_S
        while not over() and not work.stop.is_set() and time.monotonic() < until:
            with work.pieces.changed:  # whoever ends the work wakes it
                work.pieces.changed.wait_for(lambda: over() or work.stop.is_set(), self._means.tick)
            if self._stop.is_set():
                work.end()
            self._tell(work, over)
            if not work.stop.is_set():
                crew.reinforce()
                crew.hurry()
        if not over():
            self._check_room(work)

    def _tell(self, work: Work, over: Callable[[], bool]) -> None:
        done = work.pieces.bytes_there
        self._meter.note(done)
        trouble, still = work.trouble, self._meter.still_for
        if work.pieces.complete and not over():
            progress = Progress("checking", done, work.pieces.size)
        elif still >= trouble.patience.still:
            progress = Progress(
                "stalled", done, work.pieces.size, 0.0, still, trouble.retries, trouble.words
            )
        else:
            progress = Progress("downloading", done, work.pieces.size, self._meter.speed)
        self._report(progress)

    def _check_room(self, work: Work) -> None:
        needed = work.pieces.size - work.pieces.bytes_there
        self._means.room.claim(self, work.partial.blob.parent, needed)

    # --- a wrong hash --------------------------------------------------------------------------

    def _mended(self, work: Work, hasher: Hasher) -> Hasher:
        """Find the bad pieces of a file whose hash is wrong, and fetch those again.

        First what the disk spoilt: there the journal knows better. Then, as one hash of the whole
        does not tell which part is bad, a few pieces at a time are fetched a second time, those of odd
        answers first; whatever differs is replaced, and as soon as the hash is right it is over.
        """
        everything = range(work.pieces.count)
        buffer = bytearray(1 << 20)
        spoilt = [index for index in everything if not work.partial.is_sound(index, buffer)]
        order = sorted(everything, key=lambda index: index not in work.suspects)
        size = max(self._means.connections, len(order) // _BATCHES)
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        for batch in [spoilt, *batches] if spoilt else batches:
            before = {index: work.partial.checksums.get(index) for index in batch}
            for index in batch:
                work.partial.forget(index)
            work.pieces.lose(batch)
            self._complete(work)
            other = [index for index in batch if before[index] != work.partial.checksums[index]]
            if other or batch is spoilt:
                hasher = self._hashed(work, Hasher(work, min(other or batch), before=hasher))
                if hasher.right:
                    return hasher
        raise SternaError(
            "hash_mismatch",
            "What the Hub sends is not the file that it announces: the SHA-256 differs, twice.",
            "Try again later, and tell the owner of the repository if it stays so.",
        )
