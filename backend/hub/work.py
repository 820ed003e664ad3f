"""What the threads of one transfer share: the source, the pieces, what went wrong lately."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from backend.errors import SternaError
from backend.hub.locate import Source
from backend.hub.pace import Throttle
from backend.hub.partial import Partial
from backend.hub.pieces import Pieces
from backend.hub.wire import RetryableError, Wire

# Errors that time may mend; with any other the transfer ends at once.
PASSING = frozenset(("offline", "hub_failed", "rate_limited", "bad_answer"))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds: before the first retry, at most, and in all without a byte.

    `stall` is when a silent connection is given up and opened again; `still` when a transfer that
    gets nothing is called stalled.
    """

    first: float = 0.5
    longest: float = 60.0
    total: float = 24 * 3600.0
    stall: float = 12.0
    still: float = 3.0

    def before(self, attempt: int) -> float:
        """Return the wait before the next attempt, spread so that connections do not come in step."""
        usual = min(self.longest, self.first * 2.0 ** min(attempt - 1, 20))
        return usual * random.uniform(0.75, 1.0)


class Trouble:
    """What has failed since the last byte came."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._lock = threading.Lock()
        self._recovered = threading.Condition(self._lock)
        self._since = time.monotonic()
        self.retries = 0
        self.words = ""

    def over(self) -> None:
        """Note that bytes come."""
        self._since = time.monotonic()
        if self.retries:
            with self._lock:
                self.retries, self.words = 0, ""
                self._recovered.notify_all()

    def note(self, error: Exception) -> None:
        """Note a failure; raises SternaError when there has been nothing else for too long."""
        with self._lock:
            self.retries += 1
            self.words = str(error)
            silent = time.monotonic() - self._since
        if silent > self.patience.total:
            raise SternaError(
                "offline",
                f"Nothing came for {silent / 3600:.1f} hours: {error}.",
                "Check the connection, then resume the download; what is fetched is kept.",
            )

    def wait(self, attempt: int, asked: float, stop: threading.Event) -> None:
        """Wait before the next attempt: until the time has come, another connection works, or `stop`."""
        until = time.monotonic() + max(asked, self.patience.before(attempt))
        with self._lock:
            while not stop.is_set() and (left := until - time.monotonic()) > 0:
                if self._recovered.wait(min(left, 0.25)) and not asked:
                    return


class Work:
    """Everything about a transfer that is under way."""

    def __init__(
        self,
        source: Source,
        locate: Callable[[], Source],
        partial: Partial,
        throttle: Throttle,
        patience: Patience,
        connections: int,
    ) -> None:
        self.partial = partial
        self.pieces = Pieces(partial.size, partial.piece, partial.found, connections)
        self.wire = Wire(connections, patience.stall)
        self.throttle = throttle
        self.trouble = Trouble(patience)
        self.stop = threading.Event()
        self.failure: SternaError | None = None
        self.source = source
        self.etag = ""  # what the serving host calls the file
        self.suspects: set[int] = set()  # pieces of answers that were odd in some way
        self.only_whole = False  # the server knows no ranges
        self.pieces_in_use = False  # a thread may still hold the open file
        self.best_rate = 0.0  # bytes a second of the quickest connection
        self._locate = locate
        self._lock = threading.Lock()
        self._misbehaved = 0

    def fail(self, error: SternaError) -> None:
        """End the transfer with an error; the first one is told."""
        with self._lock:
            self.failure = self.failure or error
        self.end()

    def end(self) -> None:
        """Let all threads come to an end."""
        self.stop.set()
        self.pieces.wake()

    def locate_again(self, expired: Source) -> None:
        """Get a new address, once for all connections. Raises RetryableError or SternaError."""
        with self._lock:
            if self.source is not expired:
                return
            try:
                fresh = self._locate()
            except SternaError as error:
                if error.kind in PASSING:
                    raise RetryableError(error.message) from error
                raise
            if (fresh.etag, fresh.size) != (expired.etag, expired.size):
                raise changed()
            self.source = fresh

    def misbehaved(self, error: Exception) -> None:
        """Count an answer that breaks the rules; raises SternaError when it is always so."""
        with self._lock:
            self._misbehaved += 1
            often = self._misbehaved >= 6
        if often:
            raise SternaError(
                "bad_server",
                f"The download cannot go on: {error}.",
                "Try again later, or another HF_ENDPOINT; what is fetched is kept.",
            )

    def behaved(self) -> None:
        """Note an answer that was as it should be."""
        self._misbehaved = 0


def changed() -> SternaError:
    """Return the error of a file that is another one now."""
    return SternaError(
        "changed",
        "The file on the Hub was replaced by another one.",
        "Start the download again to get the new one.",
    )
