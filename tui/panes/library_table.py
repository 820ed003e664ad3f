"""The table of models on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType

from backend.text import clean
from tui import words
from tui.panes import columns, fit_words
from tui.widgets.long_table import Heading, LongTable

if TYPE_CHECKING:
    from backend.library import LibraryModel
    from tui.verdicts import Verdict

AWAY = " · not connected"


class LibraryTable(LongTable):
    """Shows what it is given. A row is known by its place; names may repeat."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "select",
            "chat",
            key_display="⏎",
            show=False,
            tooltip="Chat with the chosen model",
            id="table.open",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._models: Sequence[LibraryModel] = ()
        self._columns: list[columns.Column] = []
        self._sort = ("", False)
        self._now = 0.0
        self._filled_width = 0
        self.verdict: Callable[[LibraryModel], Verdict | None] = lambda _: None

    @property
    def models(self) -> tuple[LibraryModel, ...]:
        """What is shown, from top to bottom."""
        return tuple(self._models)

    @property
    def chosen(self) -> LibraryModel | None:
        """The model under the cursor."""
        row = self.cursor_row
        return self._models[row] if 0 <= row < len(self._models) else None

    def fill(
        self,
        models: Sequence[LibraryModel],
        *,
        sort: tuple[str, bool],
        now: float,
        hold: bool = True,
    ) -> None:
        """Show `models` in this order; the cursor stays on the model where it was, or on its row."""
        held = self.chosen if hold else None
        self._models = models
        self._sort, self._now = sort, now
        self._refill(held)

    def _refill(self, held: LibraryModel | None) -> None:
        self._filled_width = self.scrollable_content_region.width
        self._columns, name_width = columns.fitting(self._filled_width)
        headings = [
            Heading(column.key, self._title(column), column.width or name_width, column.number)
            for column in self._columns
        ]
        self.show(headings, len(self._models), self._place_of(held))

    def _place_of(self, held: LibraryModel | None) -> int:
        """Return the row of a model: its path is the same, whatever else is told of it now."""
        if held is not None:
            for row, model in enumerate(self._models):
                if model is held or (model.path == held.path and model.store == held.store):
                    return row
        return min(self.cursor_row, max(0, len(self._models) - 1))

    def _title(self, column: columns.Column) -> str:
        key, reverse = self._sort
        mark = ""
        if column.key == key and column.title:
            mark = "▾" if column.number != reverse else "▴"
        return f"{mark}{column.title}" if column.number else f"{column.title}{mark}"

    def cells(self, row: int) -> list[str]:
        """Return a model's texts for the columns that fit."""
        model = self._models[row]
        texts = []
        for column, heading in zip(self._columns, self.headings, strict=True):
            if column.key == "name" and not model.connected:
                name = columns.cell(column, model, self._now)
                texts.append(words.cut(name, max(heading.width - len(AWAY), 4)) + AWAY)
                continue
            if column.key == "fits":
                texts.append(fit_words.cell(self.verdict(model)))
                continue
            said = columns.cell(column, model, self._now)
            if column.key == "quant" and model.error and model.connected:
                said = "✗ bad"
            elif column.key == "quant" and model.kind not in ("model", "checkpoint"):
                said = clean(model.kind)
            texts.append(words.cut(said, heading.width))
        return texts

    def tones(self, row: int) -> dict[str, str]:
        """Return the colour that repeats what the verdict says."""
        known = self.verdict(self._models[row])
        return {"fits": f"table--{known.kind}"} if known else {}

    def is_dim(self, row: int) -> bool:
        """Whether a model cannot be used now."""
        return self._models[row].error is not None

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns anew: a wider table tells more."""
        if self.scrollable_content_region.width != self._filled_width and self.size.width:
            self._refill(self.chosen)
