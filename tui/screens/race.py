"""Runs of the same base and data, compared: their losses over each other, and one table of results."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from backend.text import clean
from backend.units import human_bytes, human_count, human_seconds
from tui import words
from tui.panes.run_pane import STATES, TITLES, Line, number
from tui.runs import Run, Runs
from tui.screens.following import FollowingScreen
from tui.widgets.plot import MARKS, Curve, plot, smoothed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST = 6  # curves that can be told apart
_WIDE = 88  # cells from which every column is shown
_WIDTHS = (0, 0, 9, 8, 9, 9, 9, 10)


class RaceScreen(FollowingScreen):
    """Follows the runs while it is open."""

    DEFAULT_CSS = "RaceScreen { align: center middle; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "dismiss", "close", key_display="esc", id="race.close"),
        Binding("down,j", "scroll(2)", "Down", show=False, id="race.down"),
        Binding("up,k", "scroll(-2)", "Up", show=False, id="race.up"),
    ]

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def lines(self, runs: Runs, width: int, height: int) -> list[Line] | None:
        """Return the runs of the same data, compared."""
        mine = next((run for run in runs.items if run.name == self._name), None)
        if mine is None or mine.recipe is None:
            return None
        return race_lines(_ranked(_same_data(mine, runs.items)), width, max(9, height - 12))


def _same_data(mine: Run, runs: Iterable[Run]) -> list[Run]:
    assert mine.recipe is not None
    same = mine.recipe.base.model, mine.recipe.data
    return [r for r in runs if r.recipe and (r.recipe.base.model, r.recipe.data) == same]


def _ranked(runs: list[Run]) -> list[Run]:
    worst = float("inf")
    return sorted(runs, key=lambda r: worst if r.status.eval_loss is None else r.status.eval_loss)


def race_lines(runs: list[Run], width: int, rows: int) -> list[Line]:
    """Return plot and table, the best on held-out rows first."""
    base = words.short_text(runs[0].recipe.base.model) if runs and runs[0].recipe else ""
    lines: list[Line] = [
        Content.styled("Runs of the same base and data, the best on held-out rows first", "bold"),
        Content.styled(words.cut(base, width), "$foreground 60%"),
        "",
    ]
    drawn = [run for run in runs if run.status.losses][:MOST]
    curves = [Curve(run.name, smoothed(run.status.losses)) for run in drawn]
    if curves:
        lines += [plot(curves, width, rows), ""]
    heads = ("RUN", "TECHNIQUE", "HELD OUT", "LOSS", "TRAINED", "PEAK", "TIME", "ADAPTER")
    lines.append(Content.styled(_row(width, "", heads), "bold"))
    for run in runs:
        mark = MARKS[drawn.index(run)] if run in drawn else ""
        lines.append(_row(width, mark, _cells(run)))
    return lines


def _cells(run: Run) -> tuple[str, ...]:
    s = run.status
    technique = TITLES[run.recipe.technique.name] if run.recipe else words.UNKNOWN
    size = human_bytes(s.adapter_bytes) if s.adapter_bytes else words.UNKNOWN
    return (
        clean(run.name),
        technique,
        number(s.eval_loss),
        number(s.loss),
        human_count(s.trainable_parameters) if s.trainable_parameters else words.UNKNOWN,
        human_bytes(s.peak) if s.peak else words.UNKNOWN,
        human_seconds(s.seconds) if s.seconds else words.UNKNOWN,
        size if run.state == "done" else STATES[run.state][0].partition(" ")[2],
    )


def _row(width: int, mark: str, cells: Sequence[str]) -> str:
    """Return a line of the table; a narrow one leaves out what the plot shows, and the peak."""
    wide = width >= _WIDE
    shown = range(2, 8) if wide else (2, 4, 6, 7)
    rest = "".join(f"{cells[i]:>{_WIDTHS[i]}}" for i in shown)
    name = max(14, min(34, width - 13 - len(rest)))
    return f"{mark:<2}{words.cut(cells[0], name):<{name}} {cells[1]:<10}{rest}"
