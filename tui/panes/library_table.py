"""The table of models on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.console import JustifyMethod
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from backend.text import clean
from tui import words
from tui.panes import columns

if TYPE_CHECKING:
    from backend.library import LibraryModel


class LibraryTable(DataTable[Text], inherit_bindings=False):
    """Shows what it is given. A row is known by its place in `rows`; names may repeat."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "select_cursor",
            "chat",
            key_display="⏎",
            show=False,
            tooltip="Chat with the chosen model",
            id="table.open",
        ),
        Binding("up,k", "cursor_up", "Row up", show=False, id="table.up"),
        Binding("down,j", "cursor_down", "Row down", show=False, id="table.down"),
        Binding("pageup", "page_up", "Page up", show=False, id="table.page_up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="table.page_down"),
        Binding("home", "scroll_top", "First row", show=False, id="table.top"),
        Binding("end", "scroll_bottom", "Last row", show=False, id="table.bottom"),
    ]

    def __init__(self) -> None:
        super().__init__(cursor_type="row", show_row_labels=False)
        self._models: list[LibraryModel] = []
        self._sort = ("", False)
        self._now = 0.0
        self._filled_width = 0

    @property
    def models(self) -> tuple[LibraryModel, ...]:
        """What is shown, from top to bottom."""
        return tuple(self._models)

    @property
    def chosen(self) -> LibraryModel | None:
        """The model under the cursor."""
        row = self.cursor_row
        return self._models[row] if 0 <= row < len(self._models) else None

    def fill(self, models: Sequence[LibraryModel], *, sort: tuple[str, bool], now: float) -> None:
        """Show `models` in this order; the cursor stays on the model where it was."""
        held = self.chosen
        self._models = list(models)
        self._sort, self._now = sort, now
        self._refill(held)

    def _refill(self, held: LibraryModel | None) -> None:
        shown, name_width = columns.fitting(self.scrollable_content_region.width)
        with self.app.batch_update():
            self.clear(columns=True)
            for column in shown:
                self.add_column(
                    self._title(column), width=column.width or name_width, key=column.key
                )
            for index, model in enumerate(self._models):
                self.add_row(*self._cells(model, shown, name_width), key=str(index))
            if held is not None:
                for index, model in enumerate(self._models):
                    if model.path == held.path and model.store == held.store:
                        self.move_cursor(row=index)
                        break
        self._filled_width = self.scrollable_content_region.width

    def _title(self, column: columns.Column) -> Text:
        key, reverse = self._sort
        mark = ""
        if column.key == key:
            mark = "▾" if column.number != reverse else "▴"
        title = f"{mark}{column.title}" if column.number else f"{column.title}{mark}"
        return Text(title, justify="right" if column.number else "left", no_wrap=True)

    def _cells(
        self, model: LibraryModel, shown: list[columns.Column], name_width: int
    ) -> list[Text]:
        cells = []
        for column in shown:
            said = columns.cell(column, model, self._now)
            if column.key == "quant" and model.error:
                said = "✗ bad"
            elif column.key == "quant" and model.kind != "model":
                said = clean(model.kind)
            text = words.cut(said, column.width or name_width)
            style = "dim" if model.error else ""
            justify: JustifyMethod = "right" if column.number else "left"
            cells.append(Text(text, style=style, justify=justify, no_wrap=True))
        return cells

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns anew: a wider table tells more."""
        if self.scrollable_content_region.width != self._filled_width and self.size.width:
            self._refill(self.chosen)
