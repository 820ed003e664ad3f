"""How far a long job is: done, speed, time left."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. `done` of `total` in `unit` (bytes or tokens); `seconds_left` None: not known yet."""

    what: str
    done: int
    total: int
    unit: str
    per_second: float
    seconds_left: float | None


Report = Callable[[Progress], None]


def nothing(_: Progress) -> None:
    """Report to nobody."""


class Meter:
    """Counts work and reports it, at most every tenth of a second and at the end.

    A report may raise, which ends the job: that is how one is cancelled.
    """

    _APART = 0.1  # seconds between reports

    def __init__(self, total: int, unit: str, report: Report) -> None:
        self._total = total
        self._unit = unit
        self._report = report
        self._done = 0
        self._start = time.monotonic()
        self._told = 0.0

    def add(self, count: int, what: str) -> None:
        """Count `count` more of the work, at `what` now."""
        self._done += count
        now = time.monotonic()
        if now - self._told < self._APART and self._done < self._total:
            return
        self._told = now
        rate = self._done / max(now - self._start, 1e-6)
        left = (self._total - self._done) / rate if rate else None
        self._report(Progress(what, self._done, self._total, self._unit, rate, left))
