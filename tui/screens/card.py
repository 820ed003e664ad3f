"""A model's card as Markdown. It comes from outside: nothing in it is obeyed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from backend.text import clean
from tui.widgets.plain_html import parser
from tui.widgets.steady import SteadyMarkdown

MOST = 40_000  # characters: a longer card would take the screen seconds


class CardScreen(ModalScreen[None]):
    """Scrolls with the usual keys; esc closes."""

    CSS_PATH = "card.tcss"
    HELP = "What the makers of the model say about it, as it stands on its page."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,m", "dismiss", "close", key_display="esc", id="card.close"),
        Binding("down,j", "scroll(1)", "Down", show=False, id="card.down"),
        Binding("up,k", "scroll(-1)", "Up", show=False, id="card.up"),
        Binding("pagedown,space", "scroll(15)", "Page down", show=False, id="card.page_down"),
        Binding("pageup", "scroll(-15)", "Page up", show=False, id="card.page_up"),
        Binding("home", "scroll(-1000000)", "Top", show=False, id="card.top"),
        Binding("end", "scroll(1000000)", "End", show=False, id="card.end"),
    ]

    def __init__(self, repo: str, licence: str, text: str) -> None:
        super().__init__()
        self._title = f"{clean(repo)} · {clean(licence)}" if licence else clean(repo)
        cleaned = clean(text, newlines=True)
        cut = f"\n\n… and {len(cleaned) - MOST:,} characters more on its page."
        self._text = cleaned[:MOST] + (cut if len(cleaned) > MOST else "")

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield Static(self._title, markup=False, id="title")
            with VerticalScroll(can_focus=False):
                if self._text:
                    yield SteadyMarkdown(self._text, parser_factory=parser, open_links=False)
                else:
                    yield Static("It has no card.", markup=False)
            yield Static("↑↓ scroll   esc close", markup=False, classes="keys")

    def action_scroll(self, lines: int) -> None:
        """Scroll."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
