"""The line for a token of the Hub. It goes to huggingface_hub's own store and is shown nowhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from backend.errors import SternaError
from backend.text import clean
from tui import words

if TYPE_CHECKING:
    from backend.hub.catalogue import Catalogue


@dataclass
class Answered(Message):
    """What the Hub says of a token: whose it is, or why it is none."""

    name: str
    error: SternaError | None = None


class TokenScreen(ModalScreen[str | None]):
    """Returns the name of the token's owner once the Hub knows it, `None` when the person left."""

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "leave", key_display="esc", id="token.leave")
    ]

    def __init__(self, catalogue: Catalogue, page: str) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._page = page

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield Static("A token of the Hub, for models that are gated or your own.", markup=False)
            yield Static(f"Make one at {self._page} (reading is enough).", markup=False)
            if os.environ.get("HF_TOKEN"):
                yield Static("HF_TOKEN is set: it wins over what is kept here.", markup=False)
            yield Input(password=True, placeholder="hf_…", compact=True)
            yield Static("", markup=False, id="progress")
            yield Static(
                "⏎ keep it where all tools look   esc leave",
                markup=False,
                classes="keys",
            )

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        message.stop()
        self.query_one("#progress", Static).update("Asking the Hub…")
        self._log_in(message.value)

    @work(thread=True, exclusive=True, group="token", exit_on_error=False)
    def _log_in(self, token: str) -> None:
        try:
            self.post_message(Answered(self._catalogue.log_in(token)))
        except SternaError as error:
            self.post_message(Answered("", error))

    @on(Answered)
    def _answered(self, message: Answered) -> None:
        message.stop()
        if message.error is None:
            self.dismiss(clean(message.name))
            return
        said = " ".join(part for part in words.fact_and_hint(message.error) if part)
        self.query_one("#progress", Static).update(f"✗ {said}")
        self.query_one(Input).value = ""
