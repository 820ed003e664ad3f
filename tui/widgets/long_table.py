"""A table of any length: only the rows on the screen are ever made.

Textual's own table measures and keeps a cell for every value, which takes seconds for ten thousand
rows and again for every filter. Here a row is asked for when it is painted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip


@dataclass(frozen=True, slots=True)
class Heading:
    """A column as it is shown: `width` cells, a blank on either side; numbers stand right."""

    key: str
    title: str
    width: int
    number: bool = False


class LongTable(ScrollView, inherit_bindings=False):
    """Shows `row_count` rows that `cells` gives. Subclasses say what those are."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header", "table--cursor", "table--dim",
        "table--fits", "table--tight", "table--too_big", "table--unknown",
    }  # fmt: skip
    DEFAULT_CSS = """
    LongTable {
        background: $background;
        color: $foreground;
        overflow-x: hidden;

        & > .table--header {
            text-style: bold;
            color: $text-muted;
        }
        & > .table--dim {
            text-style: dim;
        }
        & > .table--fits {
            color: $text-success;
        }
        & > .table--tight {
            color: $text-warning;
        }
        & > .table--too_big {
            color: $text-error;
        }
        & > .table--unknown {
            color: $text-muted;
        }
        & > .table--cursor {
            background: $block-cursor-blurred-background;
            color: $block-cursor-blurred-foreground;
            text-style: $block-cursor-blurred-text-style;
        }
        &:focus > .table--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_up", "Row up", show=False, id="table.up"),
        Binding("down,j", "cursor_down", "Row down", show=False, id="table.down"),
        Binding("pageup", "page_up", "Page up", show=False, id="table.page_up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="table.page_down"),
        Binding("home", "first", "First row", show=False, id="table.top"),
        Binding("end", "last", "Last row", show=False, id="table.bottom"),
    ]

    @dataclass
    class Highlighted(Message):
        """The cursor is on another row, or another thing is in its row; None when there is none."""

        row: int | None

    @dataclass
    class Selected(Message):
        """The person opened this row."""

        row: int

    @dataclass
    class HeadingSelected(Message):
        """The person clicked the title of this column."""

        key: str

    cursor_row: reactive[int] = reactive(0)

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[Heading] = []
        self.row_count = 0

    def cells(self, row: int) -> list[str]:
        """Return the texts of a row, clean, one for each heading."""
        raise NotImplementedError

    def tones(self, row: int) -> dict[str, str]:
        """Return component classes of single cells, by the keys of their headings."""
        return {}

    def spanning(self, row: int) -> str | None:
        """Return the one text of a row that has no columns, None for a usual row."""
        return None

    def is_dim(self, row: int) -> bool:
        """Whether a row is of less use than the others."""
        return False

    def show(self, headings: list[Heading], row_count: int, cursor_row: int) -> None:
        """Show another number of rows under these headings, the cursor on one of them."""
        self.headings, self.row_count = headings, row_count
        self.virtual_size = Size(0, row_count + 1)
        self.set_reactive(LongTable.cursor_row, self._within(cursor_row))
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Highlighted(self.cursor_row if row_count else None))

    # What is painted

    def render_line(self, y: int) -> Strip:
        """Paint the headings, or the row that is at line `y`."""
        row = self.scroll_offset.y + y - 1
        width = self.scrollable_content_region.width
        base = self.rich_style
        if y == 0:
            style = base + self.get_component_rich_style("table--header", partial=True)
            return self._strip([heading.title for heading in self.headings], style, width)
        if row >= self.row_count:
            return Strip.blank(width, base)
        style = base
        if self.is_dim(row):
            style += self.get_component_rich_style("table--dim", partial=True)
        if row == self.cursor_row:  # whose colours are one: every cell can be read on them
            style += self.get_component_rich_style("table--cursor", partial=True)
        if (text := self.spanning(row)) is not None:
            return Strip([Segment(set_cell_size(f" {text}", width), style)], width)
        if row == self.cursor_row:
            return self._strip(self.cells(row), style, width)
        return self._strip(self.cells(row), style, width, self.tones(row))

    def _strip(
        self, texts: list[str], style: Style, width: int, tones: Mapping[str, str] | None = None
    ) -> Strip:
        segments = []
        for heading, text in zip(self.headings, texts, strict=True):
            fitted = set_cell_size(text, heading.width)
            if heading.number and (short := heading.width - cell_len(text)) > 0:
                fitted = " " * short + text
            tone = (tones or {}).get(heading.key)
            own = self.get_component_rich_style(tone, partial=True) if tone else Style.null()
            segments.append(Segment(f" {fitted} ", style + own))
        strip = Strip(segments).simplify()
        return strip.adjust_cell_length(width, style)

    # Where the cursor is

    def watch_cursor_row(self) -> None:
        """Keep the cursor in sight and tell where it is."""
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Highlighted(self.cursor_row if self.row_count else None))

    def validate_cursor_row(self, row: int) -> int:
        """Keep the cursor on a row."""
        return self._within(row)

    def _within(self, row: int) -> int:
        return max(0, min(row, self.row_count - 1))

    @property
    def _page(self) -> int:
        return max(1, self.scrollable_content_region.height - 1)

    def _keep_in_sight(self) -> None:
        top = round(self.scroll_target_y)
        if self.cursor_row < top:
            self.scroll_to(y=self.cursor_row, animate=False)
        elif self.cursor_row >= top + self._page:
            self.scroll_to(y=self.cursor_row - self._page + 1, animate=False)

    def move_cursor(self, *, row: int) -> None:
        """Put the cursor on a row."""
        self.cursor_row = row

    def action_cursor_up(self) -> None:
        """Go a row up."""
        self.cursor_row -= 1

    def action_cursor_down(self) -> None:
        """Go a row down."""
        self.cursor_row += 1

    def action_page_up(self) -> None:
        """Go a screen up."""
        self.cursor_row -= self._page

    def action_page_down(self) -> None:
        """Go a screen down."""
        self.cursor_row += self._page

    def action_first(self) -> None:
        """Go to the first row."""
        self.cursor_row = 0

    def action_last(self) -> None:
        """Go to the last row."""
        self.cursor_row = self.row_count - 1

    def action_select(self) -> None:
        """Open the row under the cursor."""
        if self.row_count:
            self.post_message(self.Selected(self.cursor_row))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor; on the row where it is, open that; on a title, tell which."""
        event.stop()
        if event.y > 0:
            row = self.scroll_offset.y + event.y - 1
            if row == self.cursor_row and row < self.row_count:
                self.action_select()
            elif row < self.row_count:
                self.cursor_row = row
            return
        right = 0
        for heading in self.headings:
            right += heading.width + 2
            if event.x < right:
                self.post_message(self.HeadingSelected(heading.key))
                return

    def on_resize(self, event: events.Resize) -> None:
        """Keep the cursor in sight."""
        self._keep_in_sight()
