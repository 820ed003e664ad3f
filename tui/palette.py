"""What ctrl+p finds: every verb that works here, every model, every chat, every theme.

Names come from outside, so they are shown as `Content`: a string would be read as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import FuzzySearch
from textual.style import Style

from backend.text import clean
from tui.messages import ChatWanted
from tui.state import Library


@dataclass(frozen=True)
class Entry:
    """One thing that can be chosen: its name, a remark beside it, what choosing it does."""

    name: str
    run: Callable[[], Any]
    remark: str = ""


class _Holder(Protocol):
    """The app, as far as a provider knows it."""

    library: Library


class EntryProvider(Provider):
    """Finds entries by fuzzy match of their names. Subclasses list them."""

    SHOWN_UNASKED: ClassVar[bool] = True

    def entries(self) -> Iterable[Entry]:
        """Return what can be found."""
        raise NotImplementedError

    async def discover(self) -> Hits:
        """Offer entries before anything is typed."""
        if self.SHOWN_UNASKED:
            for entry in self.entries():
                yield DiscoveryHit(self._display(entry, ()), entry.run, text=clean(entry.name))

    async def search(self, query: str) -> Hits:
        """Offer the entries that match `query`."""
        search = FuzzySearch()
        for entry in self.entries():
            name = clean(entry.name)
            score, offsets = search.match(query, name)
            if score > 0:
                yield Hit(score, self._display(entry, offsets), entry.run, text=name)

    def _display(self, entry: Entry, offsets: Iterable[int]) -> Content:
        name = Content(clean(entry.name))
        for offset in offsets:
            name = name.stylize(self.match_style or Style(bold=True), offset, offset + 1)
        remark = Content.styled(
            f"   {clean(entry.remark)}" if entry.remark else "", "$foreground 60%"
        )
        return name + remark


class Verbs(EntryProvider):
    """Every key that works where the person is, by what it does."""

    def entries(self) -> Iterable[Entry]:
        """Return the live bindings, each action once."""
        seen = set()
        for node, binding, enabled, _tooltip in self.screen.active_bindings.values():
            if not enabled or not binding.tooltip or binding.action in seen:
                continue
            seen.add(binding.action)
            run = partial(self.app.run_action, binding.action, node)
            yield Entry(binding.tooltip, run, self.app.get_key_display(binding))


class Models(EntryProvider):
    """Every model on disk, to chat with."""

    SHOWN_UNASKED = False

    def entries(self) -> Iterable[Entry]:
        """Return the models that can be opened."""
        for model in cast(_Holder, self.app).library.models:
            if model.error is None and model.kind == "model":
                name = f"Chat with {model.name} {model.quant or ''}".rstrip()
                run = partial(self.app.post_message, ChatWanted(model))
                yield Entry(name, run, model.store)


class Themes(EntryProvider):
    """Every theme."""

    SHOWN_UNASKED = False

    def entries(self) -> Iterable[Entry]:
        """Return the themes by name."""
        for name in sorted(self.app.available_themes):
            yield Entry(f"Theme {name}", partial(setattr, self.app, "theme", name))
