"""The grid of a model's quants by context: what each cell needs, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from backend.text import clean
from backend.units import human_rate
from tui import words

if TYPE_CHECKING:
    from backend.fit import Candidate, Grid

NAME, CELL, SPEED, LONGEST, LOSS = 13, 8, 11, 9, 18  # cells
TONES = {"fits": "grid--fits", "tight": "grid--tight", "too_big": "grid--too_big"}


class FitGrid(ScrollView, inherit_bindings=False):
    """One cell is chosen by the arrow keys. The recommended quant is marked, and those that are here."""

    ALLOW_SELECT = False
    HELP = (
        "Quants from best to smallest, contexts from left to right. A cell tells the memory that the "
        "quant needs at that context, and whether it fits what is free. ▸ is what Sterna would take, "
        "● a file that is here."
    )
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--header", "grid--cursor", "grid--row", *TONES.values(),
    }  # fmt: skip
    DEFAULT_CSS = """
    FitGrid {
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;

        & > .grid--header { text-style: bold; color: $text-muted; }
        & > .grid--fits { color: $text-success; }
        & > .grid--tight { color: $text-warning; }
        & > .grid--too_big { color: $text-error; }
        & > .grid--row { background: $panel; }
        & > .grid--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1, 0)", "Better quant", show=False, id="grid.up"),
        Binding("down,j", "move(1, 0)", "Smaller quant", show=False, id="grid.down"),
        Binding("left,h", "move(0, -1)", "Shorter context", show=False, id="grid.left"),
        Binding("right,l", "move(0, 1)", "Longer context", show=False, id="grid.right"),
        Binding("home", "move(-99, 0)", "Best quant", show=False, id="grid.first"),
        Binding("end", "move(99, 0)", "Smallest quant", show=False, id="grid.last"),
    ]

    @dataclass
    class Highlighted(Message):
        """Another cell is chosen."""

    place: reactive[tuple[int, int]] = reactive((0, 0))

    def __init__(self) -> None:
        super().__init__(id="grid")
        self._grid: Grid | None = None
        self._marked = ""
        self._here: frozenset[str] = frozenset()

    def show(self, grid: Grid, marked: str, here: frozenset[str], start: tuple[str, int]) -> None:
        """Show a grid; `marked` is the recommended quant, `here` those of files; begin at `start`."""
        self._grid, self._marked, self._here = grid, marked, here
        self.virtual_size = Size(0, len(grid.rows) + 1)
        quants = [row[0].quant for row in grid.rows]
        row = quants.index(start[0]) if start[0] in quants else 0
        fitting = [i for i, context in enumerate(grid.contexts) if context <= start[1]]
        self.set_reactive(FitGrid.place, (row, fitting[-1] if fitting else 0))
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Highlighted())

    @property
    def chosen(self) -> Candidate | None:
        """The cell under the cursor."""
        if self._grid is None or not self._grid.rows or not self._grid.contexts:
            return None
        row, column = self.place
        return self._grid.rows[row][column]

    def action_move(self, down: int, right: int) -> None:
        """Choose another cell."""
        if self._grid is None or not self._grid.rows:
            return
        row = min(max(self.place[0] + down, 0), len(self._grid.rows) - 1)
        column = min(max(self.place[1] + right, 0), len(self._grid.contexts) - 1)
        self.place = (row, column)

    def watch_place(self) -> None:
        """Tell which cell is chosen."""
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Highlighted())

    def _keep_in_sight(self) -> None:
        row, top = self.place[0], round(self.scroll_target_y)
        page = max(1, self.scrollable_content_region.height - 1)
        if row < top:
            self.scroll_to(y=row, animate=False)
        elif row >= top + page:
            self.scroll_to(y=row - page + 1, animate=False)

    def on_resize(self, event: events.Resize) -> None:
        """Keep the chosen cell in sight."""
        self._keep_in_sight()

    def on_click(self, event: events.Click) -> None:
        """Choose the cell that is clicked."""
        row = self.scroll_offset.y + event.y - 1
        column = (event.x - NAME) // CELL
        if self._grid and event.y > 0 and row < len(self._grid.rows):
            self.place = (row, min(max(column, 0), len(self._grid.contexts) - 1))

    # What is painted

    def render_line(self, y: int) -> Strip:
        """Paint the contexts, or the row at line `y`."""
        width = self.scrollable_content_region.width
        base = self.rich_style
        row = self.scroll_offset.y + y - 1
        if self._grid is None or row >= len(self._grid.rows):
            return Strip.blank(width, base)
        if y == 0:
            style = base + self.get_component_rich_style("grid--header", partial=True)
            return Strip([Segment(self._heading(), style)]).adjust_cell_length(width, style)
        return Strip(self._row(row, base)).adjust_cell_length(width, base)

    def _heading(self) -> str:
        assert self._grid is not None
        contexts = "".join(f"{words.tokens(c):>{CELL - 3}}   " for c in self._grid.contexts)
        return f"{'  QUANT':<{NAME}}{contexts}" + self._rest("ANSWER", "FITS TO", "LOSS")

    def _rest(self, answer: str, longest: str, loss: str) -> str:
        """Return as many of the last columns as there is room for."""
        assert self._grid is not None
        room = self.scrollable_content_region.width - NAME - CELL * len(self._grid.contexts)
        text = f"{answer:>{SPEED}}"
        if room >= SPEED + LONGEST + LOSS:
            return f"{text}{longest:>{LONGEST}}  {loss}"
        return text

    def _row(self, row: int, base: Style) -> list[Segment]:
        assert self._grid is not None
        cells = self._grid.rows[row]
        first = cells[0]
        if row == self.place[0]:
            base += self.get_component_rich_style("grid--row", partial=True)
        mark = "▸" if first.quant == self._marked else "●" if first.quant in self._here else " "
        bold = Style(bold=first.quant == self._marked)
        segments = [Segment(f"{mark} {clean(first.quant):<{NAME - 2}}", base + bold)]
        for column, candidate in enumerate(cells):
            tone = TONES[candidate.verdict.kind if candidate.fits else "too_big"]
            style = base + self.get_component_rich_style(tone, partial=True)
            if (row, column) == self.place:
                style += self.get_component_rich_style("grid--cursor", partial=True)
            segments.append(Segment(cell(candidate), style))
        longest = words.tokens(first.max_context) if first.max_context >= 512 else "–"
        rest = self._rest(speed(first), longest, clean(first.grade.loss))
        return [*segments, Segment(rest, base)]


def cell(c: Candidate) -> str:
    """Return ` 4.2G ✓ `: what is needed, and whether that is free."""
    glyph = "✗" if not c.fits else "!" if c.grade.last_resort else c.verdict.glyph
    return f"{words.two_figures(c.needs.total):>{CELL - 3}} {glyph} "


def speed(c: Candidate) -> str:
    """Return the speed of answers, as far as it is known."""
    if c.speed is None:
        return "–"
    return f"{'' if c.speed.measured else '~'}{human_rate(c.speed.answer)} t/s"


def columns_in(width: int) -> int:
    """Return how many contexts fit beside the quants and their speed."""
    return max(1, (width - NAME - SPEED) // CELL)
