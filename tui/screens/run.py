"""One run in full: the plot, every number, the samples, what it warned of."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from backend.text import clean
from tui import words
from tui.panes.run_pane import Line, method, pane_lines, state_of
from tui.runs import Run, Runs
from tui.screens.following import FollowingScreen
from tui.widgets.plot import Curve, plot, smoothed

PLOT_ROWS = 18
_SAMPLES = 12


class RunScreen(FollowingScreen):
    """Follows the run that is watched while it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f5", "dismiss", "close", key_display="esc", id="run.close"),
        Binding("down,j", "scroll(2)", "Down", show=False, id="run.down"),
        Binding("up,k", "scroll(-2)", "Up", show=False, id="run.up"),
        Binding("pagedown,space", "scroll(15)", "Page down", show=False, id="run.page_down"),
        Binding("pageup", "scroll(-15)", "Page up", show=False, id="run.page_up"),
    ]

    def lines(self, runs: Runs, width: int, height: int) -> list[Line] | None:
        """Return everything about the run that is watched."""
        if runs.watched is None:
            return None
        return run_lines(runs.watched, width, min(PLOT_ROWS, max(8, height - 8)))


def run_lines(run: Run, width: int, rows: int) -> list[Line]:
    """Return everything about a run for a screen."""
    s = run.status
    head = Content.assemble((clean(run.name), "bold"), f"  {method(run)}  ")
    lines: list[Line] = [head + state_of(run)]
    if s.losses:
        curves = [Curve("loss", smoothed(s.losses))]
        if s.evals:
            curves.append(Curve("held-out rows", s.evals, dots=len(s.evals) < 40))
        lines += [plot(curves, width, rows, s.total or 0), ""]
    lines += pane_lines(run, width)[4:-2]
    if run.recipe is not None:
        lines += ["", *_made_of(run)]
    if s.samples:
        lines += ["", Content.styled("samples", "bold")]
        for step, prompt, text in reversed(s.samples[-_SAMPLES:]):
            lines += [
                Content.styled(f"step {step}  “{clean(prompt)}”", "$foreground 60%"),
                clean(text),
            ]
    if s.warnings:
        lines += ["", Content.styled("warnings", "bold"), *(clean(text) for text in s.warnings)]
    return lines


def _made_of(run: Run) -> list[Line]:
    assert run.recipe is not None
    r, t = run.recipe, run.recipe.technique
    numbers = [f"rank {t.rank}", f"alpha {t.alpha:g}"] if t.rank else []
    numbers += [f"batch {r.schedule.batch}", f"seed {r.schedule.seed}"]
    facts = (
        ("base", words.short_text(r.base.model)),
        ("data", words.short_text(r.data.path)),
        ("numbers", ", ".join(numbers)),
        ("folder", words.short_path(run.folder.path)),
    )
    return [Content.assemble((name.ljust(9), "$foreground 60%"), text) for name, text in facts]
