"""How fast long work goes, and how long it will still take."""

import time
from collections import deque
from collections.abc import Callable

WINDOW = 5.0  # seconds that the speed looks back over


class Pace:
    """Speed over the last five seconds, in units (bytes, mostly) a second."""

    def __init__(self, total: int, now: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._now = now
        self._points: deque[tuple[float, int]] = deque([(now(), 0)])

    def advance(self, count: int) -> None:
        """Take in that `count` more are done."""
        self.done += count
        now = self._now()
        self._points.append((now, self.done))
        while len(self._points) > 2 and now - self._points[1][0] >= WINDOW:
            self._points.popleft()

    @property
    def per_second(self) -> float | None:
        """Units a second, None before anything can be said."""
        (then, before), (now, done) = self._points[0], self._points[-1]
        return (done - before) / (now - then) if now > then and done > before else None

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at this speed, None where it is not known."""
        speed = self.per_second
        return max(0, self.total - self.done) / speed if speed else None
