"""The facets of a search: format, size, licence, architecture, owner, and whether it is gated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from backend.units import human_count, parse_count
from tui.widgets.choice import Choice

if TYPE_CHECKING:
    from textual.widget import Widget

    from backend.hub.search import Query

FORMATS = (
    ("GGUF: runs here", "gguf"),
    ("safetensors: for training and converting", "safetensors"),
    ("ternary", "ternary"),
    ("any", "any"),
)
SORTS = (
    ("trending", "trending"),
    ("downloads", "downloads"),
    ("likes", "likes"),
    ("last updated", "updated"),
)
GATED = (("gated or not", None), ("not gated", False), ("only gated", True))
LICENCES = (
    "apache-2.0",
    "mit",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "gemma",
    "cc-by-4.0",
    "openrail",
)


class FacetScreen(ModalScreen["Query | None"]):
    """Returns the search with other facets, `None` when they stay as they were."""

    CSS_PATH = "facets.tcss"
    HELP = (
        "What the Hub is asked for. The same can be typed into the search: format:ternary "
        "params:1B:8B license:mit arch:qwen3 author:NAME gated:no sort:likes."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "apply", "search", key_display="⏎", priority=True, id="facets.go"),
        Binding("escape", "dismiss(None)", "back", key_display="esc", id="facets.leave"),
        Binding("down", "app.focus_next", "Down", show=False, id="facets.down"),
        Binding("up", "app.focus_previous", "Up", show=False, id="facets.up"),
        Binding("ctrl+r", "reset", "reset", tooltip="Ask for anything", id="facets.reset"),
    ]

    def __init__(self, query: Query) -> None:
        super().__init__()
        self._query = query

    def compose(self) -> ComposeResult:
        q = self._query
        licences = [("any licence", ""), *((name, name) for name in LICENCES)]
        if q.license and q.license not in LICENCES:
            licences.append((q.license, q.license))
        with Vertical(id="facets"):
            yield from _row("format", Choice(FORMATS, q.format, id="format"))
            yield from _row("sorted by", Choice(SORTS, q.sort, id="sort"))
            yield from _row("parameters", _line("from", _count(q.min_params), "from, e.g. 1B"),
                            _line("to", _count(q.max_params), "to, e.g. 8B"))  # fmt: skip
            yield from _row("licence", Choice(licences, q.license, id="license"))
            yield from _row("architecture", _line("arch", q.arch, "any, e.g. qwen3"))
            yield from _row("owner", _line("author", q.author, "any"))
            yield from _row("gated", Choice(GATED, q.gated, id="gated"))
            yield Static("", markup=False, id="wrong")
            yield Static(
                "←→ change   ⏎ search   ctrl+r reset   esc back", classes="keys", markup=False
            )

    def action_apply(self) -> None:
        """Search so."""
        found: dict[str, Any] = {}
        for name, field in (("from", "min_params"), ("to", "max_params")):
            text = self.query_one(f"#{name}", Input).value.strip()
            try:
                found[field] = parse_count(text) if text else None
            except ValueError as error:
                self.query_one("#wrong", Static).update(f"✗ {error}.")
                return
        for name in ("arch", "author"):
            found[name] = self.query_one(f"#{name}", Input).value.strip()
        for name in ("format", "sort", "license", "gated"):
            found[name] = self.query_one(f"#{name}", Choice).value
        self.dismiss(replace(self._query, **found))

    def action_reset(self) -> None:
        """Take all facets away."""
        from backend.hub.search import Query

        self.dismiss(Query(text=self._query.text))


def _row(title: str, *widgets: Widget) -> Iterable[Widget]:
    yield Horizontal(Static(title, markup=False, classes="name"), *widgets)


def _line(name: str, value: str, placeholder: str) -> Input:
    return Input(value, placeholder=placeholder, compact=True, id=name)


def _count(count: int | None) -> str:
    return human_count(count).replace(" ", "") if count else ""
