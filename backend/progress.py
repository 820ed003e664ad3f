"""How far a long job is: done, speed, time left."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from backend.pace import Pace
from backend.units import human_bytes, human_seconds


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


def in_words(p: Progress) -> str:
    """Return a report in words: percent, speed, time left, what is worked at."""
    in_bytes = p.unit == "bytes"
    total = human_bytes(p.total) if in_bytes else f"{p.total} {p.unit}"
    percent = f"{100 * p.done // max(p.total, 1)} % of {total}"
    speed = (
        f"{human_bytes(round(p.per_second))}/s" if in_bytes else f"{p.per_second:.0f} {p.unit}/s"
    )
    left = f"{human_seconds(p.seconds_left)} left" if p.seconds_left and p.done < p.total else ""
    return " · ".join(part for part in (percent, speed, left, p.what) if part)


class Meter:
    """Counts work and reports it, at most every tenth of a second and at the end.

    A report may raise, which ends the job: that is how one is cancelled.
    """

    _APART = 0.1  # seconds between reports

    def __init__(self, total: int, unit: str, report: Report) -> None:
        self._pace = Pace(total)
        self._unit = unit
        self._report = report
        self._told = 0.0

    def add(self, count: int, what: str) -> None:
        """Count `count` more of the work, at `what` now."""
        pace = self._pace
        pace.advance(count)
        now = time.monotonic()
        if now - self._told < self._APART and pace.done < pace.total:
            return
        self._told = now
        rate, left = pace.per_second or 0.0, pace.seconds_left
        self._report(Progress(what, pace.done, pace.total, self._unit, rate, left))

    def finish(self) -> None:
        """Count what is left as done: parts of the work turned out not to be needed."""
        self.add(max(self._pace.total - self._pace.done, 0), "")
