"""One of a few values, changed with ← and →. Stands in one line, where a list would open over others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget


class Choice(Widget, can_focus=True):
    """Shows `‹ name ›`; `value` is what is chosen."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Choice {
        height: 1;
        width: 1fr;
        &:focus {
            text-style: reverse;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "before", show=False, id="choice.before"),
        Binding("right,space", "turn(1)", "next", show=False, id="choice.next"),
    ]

    def __init__(self, options: Sequence[tuple[str, object]], value: object, *, id: str) -> None:
        """Take pairs of a name and a value; a value that is none of them is the first."""
        super().__init__(id=id)
        self._options = options
        values = [option for _name, option in options]
        self._at = values.index(value) if value in values else 0

    @property
    def value(self) -> object:
        """What is chosen."""
        return self._options[self._at][1]

    def render(self) -> Content:
        """Return the name between its arrows."""
        return Content(f"‹ {self._options[self._at][0]} ›")

    def action_turn(self, step: int) -> None:
        """Choose a neighbour; after the last comes the first."""
        self._at = (self._at + step) % len(self._options)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Go on to the next, or with a click on the first arrow back."""
        self.action_turn(-1 if event.x < 2 else 1)
