"""One line that tells how far long work is."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message
from textual.widgets import Static

from backend.pace import Pace
from backend.text import clean
from backend.units import human_bytes, human_seconds


@dataclass
class Worked(Message):
    """Some more of the work is done. Later news replace earlier ones that were not yet shown."""

    name: str
    pace: Pace

    def can_replace(self, message: Message) -> bool:
        """Whether this makes `message` superfluous."""
        return isinstance(message, Worked)


class WorkLine(Static):
    """Hidden while there is no work."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def on_mount(self) -> None:
        self.display = False

    def tell(self, what: str, pace: Pace) -> None:
        """Show percent, speed and time left of `what`."""
        parts = [f"{100 * pace.done // max(pace.total, 1)} % of {human_bytes(pace.total)}"]
        if pace.per_second is not None:
            parts.append(f"{human_bytes(round(pace.per_second))}/s")
        if pace.seconds_left is not None:
            parts.append(f"{human_seconds(pace.seconds_left)} left")
        self.update(f"{clean(what)}  {' · '.join(parts)}   esc stops")
        self.display = True

    def done(self) -> None:
        """Go away."""
        self.display = False
