"""The keys and the work by which a list tells what fits: verdicts in a thread, the grid, the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.worker import get_current_worker

from tui import verdicts
from tui.messages import MeasureWanted
from tui.panes import columns
from tui.screens.caring import CaringScreen
from tui.sources import Sources
from tui.state import Hardware
from tui.verdicts import Key, Verdict, Verdicts

if TYPE_CHECKING:
    from backend.library import LibraryModel
    from backend.machine import Machine

AT_ONCE = 8  # models told of in one message
ASK_DELAY = 0.02  # seconds: all rows of a paint are asked for together
KEYS: list[BindingType] = [
    Binding(
        "e",
        "fit_grid",
        "fit grid",
        tooltip="Which quant of the chosen model, how long a context, how fast",
        id="models.fit",
    ),
]


@dataclass
class Judged(Message):
    """So many models were told of."""

    told: list[tuple[Key, Verdict]]


class JudgingScreen(CaringScreen):
    """A list of models with verdicts. Subclasses show them (`_judged`)."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self.verdicts = Verdicts()
        self._machine: Machine | None = None
        self._asking = False

    def on_mount(self) -> None:
        self.watch(self.app, "hardware", self._hardware_changed)

    def _hardware_changed(self, hardware: Hardware) -> None:
        if hardware.reading != self.verdicts.reading:
            self._machine, self.verdicts.reading = hardware.machine, hardware.reading
            self._judged()

    def _judged(self) -> None:
        """Paint the list again, and what is told of the chosen model."""
        raise NotImplementedError

    def verdict(self, model: LibraryModel) -> Verdict | None:
        """Return what is known of a model; what is not is on its way."""
        known = self.verdicts.of(model)
        if not self._asking and self._machine is not None and self.verdicts.waiting:
            self._asking = True
            self.set_timer(ASK_DELAY, self._ask)
        return known

    def _ask(self) -> None:
        self._asking = False
        if self._machine is not None and self.verdicts.waiting:
            self._tell(self._machine, self.verdicts.reading)

    @work(thread=True, exclusive=True, group="verdicts", exit_on_error=False)
    def _tell(self, machine: Machine, reading: int) -> None:
        """Tell of what is asked for, until nothing is. A later call takes the rest over."""
        worker = get_current_worker()
        while not worker.is_cancelled:
            models = self.verdicts.take(AT_ONCE)
            if not models:
                return
            told = verdicts.tell_all(models, machine, self._sources.settings, reading)
            self.post_message(Judged(told))

    @on(Judged)
    def _were_judged(self, message: Judged) -> None:
        self.verdicts.know(message.told)
        missing = {name for _, verdict in message.told for name in verdict.types}
        if missing:
            self.app.post_message(MeasureWanted(tuple(sorted(missing))))
        self._judged()

    def action_fit_grid(self) -> None:
        """Show the grid of the chosen model's quants."""
        model = self._wanted()
        if model is None:
            return
        if not verdicts.can_be_told(model):
            self.notify("Only a whole model can be reckoned.", markup=False)
            return
        from tui import fitting
        from tui.screens.fit import FitScreen

        path, name = Path(model.path), columns.short_name(model)
        self.app.push_screen(
            FitScreen(self._sources, lambda: replace(fitting.of_file(path), name=name))
        )
