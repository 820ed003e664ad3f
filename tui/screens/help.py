"""`?`: what the focused thing is, and every key that works on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

KEY_WIDTH = 16
TITLES = ("Where the cursor is", "In this mode", "Everywhere")


class HelpScreen(ModalScreen[None]):
    """Built from the live bindings of the screen below, so that it cannot be out of date."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,q", "dismiss", "close", key_display="esc", id="help.close")
    ]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._lines = list(_lines(below))

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(Content("\n").join(self._lines))


def explanation(node: DOMNode | None) -> str:
    """Return what the nearest thing around `node` says about itself (its class's HELP)."""
    while node is not None:
        if words := getattr(node, "HELP", ""):
            return str(words)
        node = node.parent
    return ""


def _lines(below: Screen[object]) -> Iterable[Content]:
    for text in dict.fromkeys((explanation(below.focused), explanation(below))):
        if text:
            yield Content(text)
            yield Content()
    grouped: dict[str, dict[str, list[ActiveBinding]]] = {title: {} for title in TITLES}
    # Verbs have a sentence of their own; moving about comes after them.
    for active in sorted(below.active_bindings.values(), key=lambda at: not at.binding.tooltip):
        if active.binding.description and active.enabled:
            title = _title(active.node, below)
            grouped[title].setdefault(active.binding.action, []).append(active)
    for title, actions in grouped.items():
        if not actions:
            continue
        yield Content.styled(title, "bold $text-primary")
        for bindings in actions.values():
            yield _row(below, bindings)
        yield Content()


def _title(node: DOMNode, below: Screen[object]) -> str:
    if node is below.app:
        return TITLES[2]
    return TITLES[1] if node is below else TITLES[0]


def _row(below: Screen[object], bindings: list[ActiveBinding]) -> Content:
    shown = dict.fromkeys(below.app.get_key_display(active.binding) for active in bindings)
    keys = "  ".join(shown)
    first = bindings[0].binding
    return Content.assemble(
        "  ", (keys.ljust(KEY_WIDTH), "bold $text-accent"), first.tooltip or first.description
    )
