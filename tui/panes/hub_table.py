"""The table of what the Hub has: models, and under each open one the files that can be fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType

from tui import words
from tui.panes import hub_rows
from tui.panes.hub_rows import Row
from tui.state import Downloads
from tui.widgets.long_table import Heading, LongTable

if TYPE_CHECKING:
    from backend.hub.search import FoundModel
    from backend.hub.variants import Variant
    from tui.roughly import Rough

LOCK = " 🔒"


class HubTable(LongTable):
    """Shows rows; the cursor stays on what it was on when they are made anew."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "select",
            "open",
            key_display="⏎",
            tooltip="Show a model's files; on a file, fetch it",
            id="hub.open",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.rows: Sequence[Row] = ()
        self.downloads = Downloads()
        self.on_disk: frozenset[str] = frozenset()  # sha256 of what is on this computer
        self.sort = ""  # by what the rows are sorted
        self.rough: Rough | None = None  # what models need that nobody looked into
        self._columns: list[hub_rows.Column] = []
        self._now = 0.0
        self._filled_width = 0

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor_row] if 0 <= self.cursor_row < len(self.rows) else None

    def fill(self, rows: Sequence[Row], *, now: float, hold: Row | None = None) -> None:
        """Show rows, the cursor on `hold` or on what it was on."""
        held = hold or self.chosen
        self.rows, self._now = rows, now
        self._refill(held)

    def _refill(self, held: Row | None) -> None:
        self._filled_width = self.scrollable_content_region.width
        self._columns, name_width = hub_rows.fitting(self._filled_width, self.sort)
        headings = [
            Heading(column.key, column.title, column.width or name_width, column.number)
            for column in self._columns
        ]
        self.show(headings, len(self.rows), self._place_of(held))

    def _place_of(self, held: Row | None) -> int:
        if held is not None:
            for wanted in (held.key, (held.model.repo, "", "")):
                for at, row in enumerate(self.rows):
                    if row.key == wanted:
                        return at
        return min(self.cursor_row, max(0, len(self.rows) - 1))

    def has(self, variant: Variant) -> bool:
        """Whether a variant's content is on this computer."""
        hashes = {file.sha256 for file in variant.files if file.path.lower().endswith(".gguf")}
        return bool(hashes) and bool(hashes & self.on_disk)

    def cells(self, row: int) -> list[str]:
        """Return a model's texts for the columns that fit."""
        shown = self.rows[row]
        model, texts = shown.model, []
        for column, heading in zip(self._columns, self.headings, strict=True):
            said = hub_rows.cell(column, model, shown.opened, self.rough, self._now)
            width = heading.width
            if column.key == "name" and model.gated:
                said = words.cut(said, width - 3) + LOCK
            texts.append(words.cut(said, width))
        return texts

    def tones(self, row: int) -> dict[str, str]:
        """Return the colour that repeats what the verdict says."""
        opened = self.rows[row].opened
        if opened is None or opened.advice is None:
            return {"here": f"table--{self._roughly(self.rows[row].model)}"}
        chosen = opened.advice.recommendation.chosen
        return {"here": f"table--{chosen.verdict.kind if chosen else 'too_big'}"}

    def _roughly(self, model: FoundModel) -> str:
        if self.rough is None or model.params is None:
            return "unknown"
        return self.rough.kind(model.params, model.arch)

    def spanning(self, row: int) -> str | None:
        """Return the one text of a row that is no model."""
        shown = self.rows[row]
        width = self._filled_width - 2
        if shown.note:
            return words.cut(f"     {shown.note}", width)
        if shown.variant is None:
            return None
        item = self.downloads.of(shown.model.repo, shown.variant.quant)
        return hub_rows.file_line(shown, item, self.has(shown.variant), width)

    def is_dim(self, row: int) -> bool:
        """Whether it would not fit, or is only a remark."""
        shown = self.rows[row]
        if shown.variant is None or shown.opened is None:
            return bool(shown.note)
        candidate = shown.opened.candidate(shown.variant)
        return candidate is not None and candidate.verdict.kind == "too_big"

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns anew: a wider table tells more."""
        if self.scrollable_content_region.width != self._filled_width and self.size.width:
            self._refill(self.chosen)
