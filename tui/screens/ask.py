"""One question with a line to answer it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class AskScreen(ModalScreen[str | None]):
    """Returns what was typed, or `None` when the person stepped back.

    An empty answer is one only where `empty` says so.
    """

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "back", key_display="esc", id="ask.back")
    ]

    def __init__(self, question: str, answer: str, *, empty: bool = False) -> None:
        super().__init__()
        self._empty = empty
        self._question = question
        self._answer = answer

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield Static(self._question, markup=False)
            yield Input(self._answer, select_on_focus=True, compact=True)
            yield Static("⏎ keep   esc leave it as it was", markup=False, classes="keys")

    @on(Input.Submitted)
    def _answered(self, message: Input.Submitted) -> None:
        answer = message.value.strip()
        self.dismiss(answer if answer or self._empty else None)
