"""The line over a table: what to look for, and how much is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class FilterInput(Input):
    """A line of text; enter and down go on to what was found, esc clears or leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,down", "leave", "to the list", key_display="⏎", id="filter.leave"),
        Binding("escape", "step_back", "clear", key_display="esc", id="filter.back"),
    ]

    def action_leave(self) -> None:
        """Go to the list."""
        self.post_message(FilterLine.Left())

    def action_step_back(self) -> None:
        """Clear the text; without any, go to the list."""
        if self.value:
            self.value = ""
        else:
            self.post_message(FilterLine.Left())


class FilterLine(Horizontal):
    """Posts `Changed` with every keystroke."""

    @dataclass
    class Changed(Message):
        """The text is now this."""

        text: str

    class Left(Message):
        """The person is done typing."""

    def __init__(self, placeholder: str) -> None:
        super().__init__()
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        yield FilterInput(placeholder=self._placeholder, compact=True, select_on_focus=False)
        yield Static(markup=False)

    @property
    def text(self) -> str:
        """What is looked for."""
        return self.query_one(FilterInput).value

    def type_here(self) -> None:
        """Put the cursor into the line."""
        self.query_one(FilterInput).focus()

    def clear(self) -> None:
        """Look for nothing."""
        self.query_one(FilterInput).value = ""

    def tell(self, count: str) -> None:
        """Show how much there is, at the right end."""
        self.query_one(Static).update(count)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what is looked for now."""
        event.stop()
        self.post_message(self.Changed(event.value))
