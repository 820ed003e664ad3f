"""Where a message is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea


class Composer(TextArea):
    """Enter sends. A new line is alt+enter, shift+enter, ctrl+j, or enter after a backslash:
    terminals differ in which of the first two they can tell from a plain enter.
    """

    HELP = (
        "Write a message. Enter sends it; a new line is alt+enter, shift+enter (where the terminal "
        "can tell), ctrl+j, or a backslash before enter. Pasted lines stay lines."
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "send", "send", key_display="⏎", tooltip="Send the message", id="composer.send"
        ),
        Binding(
            "alt+enter,shift+enter,ctrl+j",
            "new_line",
            "new line",
            key_display="alt+⏎",
            show=False,
            tooltip="Start a new line in the message",
            id="composer.new_line",
        ),
        Binding(
            "ctrl+up",
            "edit_last",
            "edit last",
            show=False,
            tooltip="Edit your last message and send it again",
            id="composer.edit_last",
        ),
    ]

    @dataclass
    class Sent(Message):
        """The person says this."""

        text: str

    class EditLast(Message):
        """The person wants to change what they said last."""

    def __init__(self) -> None:
        super().__init__(
            soft_wrap=True, show_line_numbers=False, compact=True, highlight_cursor_line=False
        )
        self.cursor_blink = False

    def on_key(self, event: events.Key) -> None:
        """Keep the text area from taking enter as a new line while enter is the key that sends."""
        bound = self.screen.active_bindings.get(event.key)
        if bound is not None and bound.binding.action == "send":
            event.prevent_default()

    def action_send(self) -> None:
        """Send what is written; after a backslash, start a new line instead."""
        row, column = self.cursor_location
        line = self.document.get_line(row)
        if column == len(line) and line.endswith("\\"):
            self.replace("\n", (row, column - 1), (row, column))
        elif self.text.strip():
            self.post_message(self.Sent(self.text))

    def action_new_line(self) -> None:
        """Start a new line."""
        self.insert("\n")

    def action_cursor_up(self, select: bool = False) -> None:
        """Move up; in an empty message, bring the last one back."""
        if self.text:
            super().action_cursor_up(select)
        else:
            self.action_edit_last()

    def action_edit_last(self) -> None:
        """Bring the last message back."""
        self.post_message(self.EditLast())
