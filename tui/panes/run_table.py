"""The table of training runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from backend.text import clean
from backend.units import human_count
from tui import words
from tui.panes.run_pane import STATES, TITLES, number
from tui.runs import Run, Runs
from tui.widgets.long_table import Heading, LongTable

NAME_AT_LEAST = 14
# key, title, width, whether a number, how much room it waits for
_COLUMNS = (
    ("state", "STATE", 10, False, 0),
    ("technique", "TECHNIQUE", 10, False, 1),
    ("step", "STEP", 11, True, 0),
    ("loss", "LOSS", 6, True, 1),
    ("eval", "HELD OUT", 8, True, 0),
    ("trained", "TRAINED", 7, True, 2),
    ("when", "WHEN", 6, True, 0),
)


class RunTable(LongTable):
    """Every run, the newest first. The cursor is on the one that is watched."""

    HELP = (
        "Training runs. Each is a process of its own: it goes on when Sterna is closed, and is found "
        "again when it is opened."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "open", key_display="⏎",
                tooltip="Open the chosen run: plot, numbers, samples", id="runs.open"),
    ]  # fmt: skip

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._runs: tuple[Run, ...] = ()
        self._watched: Run | None = None

    @property
    def chosen(self) -> Run | None:
        """The run under the cursor."""
        return self._runs[self.cursor_row] if self._runs else None

    def fill(self, runs: Runs) -> None:
        """Show these runs; the cursor stays with its run."""
        held = self.chosen
        if runs.watched is not self._watched:  # another is watched now: by a start, mostly
            held = self._watched = runs.watched
        self._runs = runs.items
        row = next((i for i, run in enumerate(self._runs) if run is held), 0)
        self.show(self._fitting(), len(self._runs), row)

    def on_resize(self, _: object = None) -> None:
        """Choose columns for the new width."""
        self.show(self._fitting(), len(self._runs), self.cursor_row)

    def _fitting(self) -> list[Heading]:
        width = self.size.width or 80
        for most in (2, 1, 0):
            columns = [c for c in _COLUMNS if c[4] <= most]
            left = width - 2 - sum(c[2] + 2 for c in columns)
            if left >= NAME_AT_LEAST:
                break
        name = Heading("name", "RUN", max(left, 8))
        return [name, *(Heading(key, title, w, num) for key, title, w, num, _ in columns)]

    def is_dim(self, row: int) -> bool:
        """Whether it came to nothing."""
        return self._runs[row].state in ("failed", "died")

    def cells(self, row: int) -> list[str]:
        """Return a run's texts."""
        run = self._runs[row]
        s, t = run.status, run.recipe.technique if run.recipe else None
        texts = {
            "state": STATES[run.state][0],
            "technique": TITLES[t.name] if t else words.UNKNOWN,
            "step": f"{s.step}/{s.total}" if s.total else words.UNKNOWN,
            "loss": number(s.loss),
            "eval": number(s.eval_loss),
            "trained": human_count(s.trainable_parameters) if s.trainable_parameters else "–",
            "when": words.ago(s.updated, self._now()) if s.updated else words.UNKNOWN,
        }
        name = self.headings[0].width
        return [words.cut(run.name, name), *(clean(texts[h.key]) for h in self.headings[1:])]
