"""One line on standard error that tells how far long work is; nothing where nobody watches."""

import sys
import time

from backend.pace import Pace
from backend.units import human_bytes
from tui.commands import output

_EVERY = 0.1  # seconds between two lines


def remaining(seconds: float) -> str:
    """Return a time as e.g. `40 s left` or `2 h 5 min left`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s left"
    minutes = round(whole / 60)
    return f"{minutes} min left" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min left"


class ProgressLine:
    """Shows bytes, percent, speed and time left of one piece of work."""

    def __init__(self, total: int) -> None:
        self.pace = Pace(total)
        self._shown = 0.0
        self._watched = sys.stderr.isatty()

    def advance(self, name: str, count: int) -> None:
        """Take in `count` more bytes, of the thing called `name`."""
        self.pace.advance(count)
        now = time.monotonic()
        if self._watched and now - self._shown >= _EVERY:
            self._shown = now
            output.status(self._line(name))

    def clear(self) -> None:
        """Take the line away, before something else is written."""
        if self._watched:
            output.status("")

    def _line(self, name: str) -> str:
        pace = self.pace
        parts = [f"{100 * pace.done // max(pace.total, 1)} % of {human_bytes(pace.total)}"]
        if pace.per_second is not None:
            parts.append(f"{human_bytes(round(pace.per_second))}/s")
        if pace.seconds_left is not None:
            parts.append(remaining(pace.seconds_left))
        return f"{' · '.join(parts)}  {name}"
