"""Which bytes are still to be fetched, and who fetches them."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from xxhash import xxh3_64

LONGEST_SPAN = 32 << 20  # bytes of one request at most: few enough that the hash follows closely
SHARES = 6  # requests of each connection at least, if the file is long enough: they end together

WORTH_SHARING_S = 1.0


@dataclass(eq=False)
class Span:
    """Bytes from `at` up to `end`, wanted by one connection. `checksum` is of the piece begun."""

    at: int
    end: int
    checksum: xxh3_64 = field(default_factory=xxh3_64)
    taken: float = 0.0  # when, and at which byte
    start: int = 0

    @property
    def seconds_left(self) -> float:
        """How long the rest will take at the speed so far; without any, as long as it has taken."""
        age = time.monotonic() - self.taken
        got = self.at - self.start
        return (self.end - self.at) * age / got if got else age


class Pieces:
    """Shares a file out among connections. All methods are safe to call from several threads.

    A piece is missing, taken (part of a span), or there. What one connection could not fetch goes to
    the next; when nothing is missing any more, an idle connection takes half of another's span.
    """

    def __init__(
        self, size: int, piece: int, there: Iterable[int] = (), connections: int = 1
    ) -> None:
        self.size, self.piece = size, piece
        self.count = -(-size // piece)
        self._longest = max(1, min(LONGEST_SPAN // piece, self.count // (connections * SHARES)))
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self._landed = threading.Condition(lock)  # for the one that follows the pieces
        self._there = set(there)
        self._missing = sorted(set(range(self.count)) - self._there, reverse=True)
        self._returned: list[Span] = []
        self._taken: list[Span] = []

    @property
    def complete(self) -> bool:
        """Whether every piece is there."""
        return len(self._there) == self.count

    @property
    def bytes_there(self) -> int:
        """Bytes of the pieces that are there, and of those begun."""
        with self.changed:
            whole = len(self._there) * self.piece
            if self.count - 1 in self._there:
                whole -= self.count * self.piece - self.size
            spans = (*self._taken, *self._returned)
            return whole + sum(span.at % self.piece for span in spans if span.at < span.end)

    def is_there(self, index: int) -> bool:
        """Whether a piece is there."""
        return index in self._there

    def take(self) -> Span | None:
        """Return bytes to fetch; None while others have all of them in hand."""
        with self.changed:
            span = self._first_returned() or self._next() or self._half()
            if span is not None:
                span.taken, span.start = time.monotonic(), span.at
                self._taken.append(span)
            return span

    def _first_returned(self) -> Span | None:
        span = min(self._returned, key=lambda span: span.at, default=None)
        if span is not None:
            self._returned.remove(span)
        return span

    def _next(self) -> Span | None:
        if not self._missing:
            return None
        first = last = self._missing.pop()
        while self._missing and self._missing[-1] == last + 1 and last - first + 1 < self._longest:
            last = self._missing.pop()
        return Span(first * self.piece, min((last + 1) * self.piece, self.size))

    def _half(self) -> Span | None:
        """Take the second half of the span with most left, if that is two pieces at least.

        Not of one that is nearly through: what its server has sent already would come twice.
        """
        largest = max(self._taken, key=lambda span: span.seconds_left, default=None)
        if largest is None or largest.seconds_left < WORTH_SHARING_S:
            return None
        first = largest.at // self.piece + 1
        last = -(-largest.end // self.piece)
        if last - first < 2:
            return None
        middle = (first + last) // 2 * self.piece
        half = Span(middle, largest.end)
        largest.end = middle
        return half

    def arrived(self, indexes: Iterable[int]) -> None:
        """Note that pieces are on disk."""
        with self.changed:
            self._there.update(indexes)
            self._landed.notify_all()
            if self.complete:
                self.changed.notify_all()

    def done(self, span: Span) -> None:
        """Note that a span was fetched to its end."""
        with self.changed:
            self._taken.remove(span)
            self.changed.notify_all()

    def give_back(self, span: Span) -> None:
        """Leave the rest of a span to whoever asks next."""
        with self.changed:
            self._taken.remove(span)
            if span.at < span.end:
                self._returned.append(span)
            self.changed.notify_all()

    def lose(self, indexes: Iterable[int]) -> None:
        """Ask for pieces again that turned out not to be what they should."""
        with self.changed:
            again = self._there & set(indexes)
            self._there -= again
            self._missing = sorted(set(self._missing) | again, reverse=True)
            self.changed.notify_all()

    def wait_for(self, index: int, over: threading.Event, most: int) -> int:
        """Wait for a piece until the work is `over`; return how many are there from it on, up to `most`."""
        with self.changed:
            self._landed.wait_for(lambda: index in self._there or over.is_set())
            count = 0
            while count < most and index + count in self._there:
                count += 1
            return count

    def wait_for_work(self, over: threading.Event) -> None:
        """Wait a while for bytes that nobody has in hand, until the work is `over`."""
        with self.changed:
            self.changed.wait_for(
                lambda: self._missing or self._returned or over.is_set(), WORTH_SHARING_S / 2
            )

    def wake(self) -> None:
        """Let everybody who waits look around."""
        with self.changed:
            self.changed.notify_all()
            self._landed.notify_all()
