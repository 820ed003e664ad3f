"""How fast it goes: a limit shared by all downloads, and the speed of the last seconds."""

import threading
import time
from collections import deque

WINDOW_S = 5.0
_LONGEST_NAP_S = 0.5
MOUTHFUL = 1 << 20  # bytes of a connection's buffer, which is used again and again


class Throttle:
    """Lets at most `rate` bytes a second pass, all threads together; None: no limit."""

    def __init__(self, rate: float | None = None) -> None:
        self._lock = threading.Lock()
        self._rate = rate if rate else None
        self._free_at = 0.0  # when what has passed so far is paid for

    @property
    def rate(self) -> float | None:
        """Bytes a second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float | None) -> None:
        with self._lock:
            self._rate = rate if rate else None
            self._free_at = 0.0

    @property
    def mouthful(self) -> int:
        """How many bytes to take at once, so that a low limit is a steady one."""
        return MOUTHFUL if self._rate is None else max(1024, min(MOUTHFUL, int(self._rate / 20)))

    def take(self, count: int, stop: threading.Event) -> None:
        """Wait until `count` bytes may have passed, or until `stop` is set."""
        with self._lock:
            if self._rate is None:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            due = self._free_at
        while (left := due - time.monotonic()) > 0 and not stop.wait(min(left, _LONGEST_NAP_S)):
            pass


class Speedometer:
    """Bytes a second over the last five seconds, and how long nothing has come."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._moved = time.monotonic()

    def note(self, done: int) -> None:
        """Tell how many bytes are there now."""
        now = time.monotonic()
        if self._samples and done > self._samples[-1][1]:
            self._moved = now
        if self._samples and done < self._samples[-1][1]:  # pieces were lost: begin again
            self._samples.clear()
        self._samples.append((now, done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW_S:
            self._samples.popleft()

    @property
    def speed(self) -> float:
        """Bytes a second."""
        if len(self._samples) < 2:
            return 0.0
        (then, before), (now, done) = self._samples[0], self._samples[-1]
        return (done - before) / (now - then) if now > then else 0.0

    @property
    def still_for(self) -> float:
        """Seconds since something last came."""
        return time.monotonic() - self._moved
