"""The menu of a new fine-tune: a line for each choice, changed where it stands."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from backend.text import clean
from backend.train.catalogue import CATALOGUE
from tui import train_fields, words
from tui.draft import Draft
from tui.panes.run_pane import TITLES
from tui.train_fields import Field

LABEL = 15  # cells before a value


class TrainMenu(VerticalScroll, inherit_bindings=False):
    """Shows a draft. It posts what the person wants; the screen changes the draft."""

    HELP = (
        "A new fine-tune. ↑ and ↓ choose a line, ← and → change it, space opens it for typing. "
        "What it takes stands below, before anything begins. ⏎ starts."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Line up", show=False, id="train.up"),
        Binding("down,j", "move(1)", "Line down", show=False, id="train.down"),
        Binding("home", "move(-99)", "First line", show=False, id="train.first"),
        Binding("end", "move(99)", "Last line", show=False, id="train.last"),
        Binding("left,h", "change(-1)", "Less, or the one before", show=False, id="train.less"),
        Binding("right,l", "change(1)", "More, or the next one", show=False, id="train.more_of"),
    ]
    can_focus = True

    place: reactive[int] = reactive(0)

    @dataclass
    class Changed(Message):
        """The person wants this field one step on."""

        field: Field
        by: int

    @dataclass
    class OpenWanted(Message):
        """The person wants to choose or type this field."""

        field: Field

    def __init__(self) -> None:
        super().__init__()
        self._draft = Draft()
        self._cards = 0
        self.all = False
        self._rows: list[int] = []  # the line on which each field begins

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    @property
    def fields(self) -> list[Field]:
        """The lines that are shown."""
        technique = self._draft.recipe.technique
        several = {"schedule.processes"} if self._cards > 1 else set()
        return [
            f
            for f in train_fields.FIELDS
            if f.belongs(technique) and (self.all or not f.more or f.key in several)
        ]

    @property
    def field(self) -> Field:
        """The line under the cursor."""
        return self.fields[min(self.place, len(self.fields) - 1)]

    def show(self, draft: Draft, *, cards: int) -> None:
        """Show a draft as it is now; where there are several graphics `cards`, how many to use."""
        self._draft, self._cards = draft, cards
        self._paint()

    def go_to(self, key: str) -> None:
        """Put the cursor on a line."""
        keys = [f.key for f in self.fields]
        if key in keys:
            self.place = keys.index(key)

    def toggle_all(self) -> None:
        """Show every choice, or the usual ones."""
        key = self.field.key
        self.all = not self.all
        self.set_reactive(TrainMenu.place, 0)
        self.go_to(key)
        self._paint()

    def validate_place(self, place: int) -> int:
        """Keep the cursor on a line."""
        return max(0, min(place, len(self.fields) - 1))

    def watch_place(self) -> None:
        """Paint, and keep the cursor in sight."""
        self._paint()
        row = self._rows[self.place] if self.place < len(self._rows) else 0
        self.scroll_to_region(Region(0, row, 1, 3), animate=False, force=True)

    def action_move(self, by: int) -> None:
        """Go to another line."""
        self.place += by

    def action_change(self, by: int) -> None:
        """Change the line under the cursor."""
        field = self.field
        if field.kind in ("base", "data", "text", "columns") or (
            not field.ladder and field.kind == "whole"
        ):
            self.post_message(self.OpenWanted(field))
        else:
            self.post_message(self.Changed(field, by))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on a line; on the line where it is, open that."""
        row = event.y + round(self.scroll_y)
        place = max((i for i, first in enumerate(self._rows) if first <= row), default=0)
        if place == self.place:
            self.post_message(self.OpenWanted(self.field))
        self.place = place

    def on_resize(self) -> None:
        """Wrap for the new width."""
        self._paint()

    # What is painted

    def _paint(self) -> None:
        if not self.is_mounted:
            return
        width = max(self.scrollable_content_region.width, 40)
        lines: list[Content] = []
        self._rows = []
        for number, field in enumerate(self.fields):
            self._rows.append(len(lines))
            lines += self._lines(field, width, chosen=number == self.place)
        self.query_one(Static).update(Content("\n").join(lines))

    def _lines(self, field: Field, width: int, *, chosen: bool) -> list[Content]:
        room = width - LABEL - 1
        head = Content.styled(
            f"{'▸' if chosen else ' '} {field.label.ljust(LABEL - 3)} ",
            "bold $text-accent" if chosen else "$foreground 60%",
        )
        if field.kind == "technique":
            return [head + self._techniques(), *_below(self._draft.about(), room)]
        lines = [head + self._value(field, room, chosen=chosen)]
        if chosen and field.about:
            lines += _below(field.about, room)
        return lines

    def _value(self, field: Field, room: int, *, chosen: bool) -> Content:
        if field.kind in ("base", "data"):
            text = self._draft.base_text() if field.kind == "base" else self._draft.data_text()
            wrong = self._draft.base_error if field.kind == "base" else self._draft.data_error
            return Content.styled(words.cut(text, room), "$text-error" if wrong else "bold")
        recipe = self._draft.recipe
        now = train_fields.value(recipe, field.key)
        text = train_fields.shown(field, now, train_fields.value(self._draft.filled, field.key))
        style = "bold" if chosen else ""
        return Content.styled(words.cut(f"‹ {text} ›" if chosen else text, room), style)

    def _techniques(self) -> Content:
        parts = []
        for name in CATALOGUE:
            mark = "✓" if name in self._draft.marked else ""
            text = f"{mark}{TITLES[name]}"
            if name == self._draft.recipe.technique.name:
                parts.append(Content.styled(f"‹{text}›", "bold $text-accent"))
            else:
                parts.append(Content(f" {text} "))
        return Content("").join(parts)


def _below(text: str, room: int) -> list[Content]:
    return [
        Content.styled(" " * LABEL + line, "$foreground 60%")
        for line in textwrap.wrap(clean(text), max(room, 20))
    ]
