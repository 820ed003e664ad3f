"""One line on standard error that tells how far long work is; nothing where nobody watches."""

import sys
import time

from backend.pace import Pace
from backend.units import human_bytes, human_seconds
from tui.commands import output

_EVERY = 0.1  # seconds between two lines


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
            parts.append(f"{human_seconds(pace.seconds_left)} left")
        return f"{' · '.join(parts)}  {name}"
