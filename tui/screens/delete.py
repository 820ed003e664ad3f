"""What deleting a model would do, before it is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from backend.text import clean
from backend.units import human_bytes
from tui import words
from tui.panes import columns

if TYPE_CHECKING:
    from backend.library.model import Copy
    from backend.library.removal import Removal

MOST = 8  # paths that are shown


class DeleteScreen(ModalScreen["Removal | None"]):
    """Returns the deletion that the person chose, `None` for none."""

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "delete", "delete", key_display="⏎", id="delete.go"),
        Binding("a", "everywhere", "everywhere", id="delete.everywhere"),
        Binding("escape", "dismiss(None)", "leave it", key_display="esc", id="delete.leave"),
    ]

    def __init__(self, one: Removal, every: Removal | None, *, loaded: bool) -> None:
        super().__init__()
        self._one = one
        self._every = every
        self._loaded = loaded

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="ask"):
            lines = Content("\n").join(_lines(self._one, loaded=self._loaded))
            yield Static(lines, id="preview")
            yield Static(self._keys(), markup=False, classes="keys")

    def _keys(self) -> str:
        do = "strike it off" if self._one.forgets else "delete"
        keys = [f"⏎ {do}"]
        if self._every is not None:
            keys.append(f"a delete it everywhere ({human_bytes(self._every.frees)})")
        return "   ".join([*keys, "esc leave it"])

    def action_delete(self) -> None:
        """Choose the one place."""
        self.dismiss(self._one)

    def action_everywhere(self) -> None:
        """Choose all places, where there are several."""
        if self._every is not None:
            self.dismiss(self._every)


def _lines(removal: Removal, *, loaded: bool) -> Iterable[Content | str]:
    model = removal.model
    yield Content.assemble(
        ("Delete ", "bold"), (clean(model.name), "bold"), "  ", clean(model.quant), "?"
    )
    yield ""
    if removal.forgets:
        yield "Its disk is not connected: it is only struck off the list."
        return
    yield f"{human_bytes(removal.frees)} are freed when Sterna ends; until then u brings it back."
    if loaded:
        yield "It is loaded: the chat goes on until another model is."
    yield ""
    for path in removal.paths[:MOST]:
        yield _labelled("goes", words.short_text(path))
    if len(removal.paths) > MOST:
        yield _labelled("", f"and {len(removal.paths) - MOST} more")
    for sentence in removal.kept:
        yield _labelled("stays", clean(sentence))
    for copy in removal.remains:
        yield _labelled("stays", _copy(copy))
    yield ""


def _copy(copy: Copy) -> str:
    return f"in {columns.store_name(copy.store)}: {words.short_text(str(copy.path))}"


def _labelled(label: str, text: str) -> Content:
    return Content.assemble((label.ljust(7), "$foreground 60%"), text)
