"""The app's part that knows training: runs on disk, the one that is watched, the way to their screens."""

from __future__ import annotations

from pathlib import Path

from textual import on, work
from textual.binding import Binding
from textual.reactive import reactive
from textual.screen import Screen
from textual.timer import Timer

from backend.text import clean
from tui.engine import EngineKeeper
from tui.machine_app import MachineApp
from tui.messages import (
    BesideWanted,
    RunsFound,
    RunsLookWanted,
    RunStarted,
    RunWatched,
    TrainWanted,
)
from tui.runs import Run, RunKeeper, Runs
from tui.sources import Sources

RUNS_EVERY = 0.5  # seconds between looks at runs while one trains
RUN_KEYS = (
    Binding("f4", "screen.run_pane", "run", show=False,
            tooltip="Show or hide the training run", id="app.run"),
    Binding("f5", "screen.run_whole", "plot", show=False,
            tooltip="The training run in full: plot, samples", id="app.run_whole"),
)  # fmt: skip


class TrainingApp(MachineApp, inherit_bindings=False):
    """Keeps `runs`, which screens watch. `_keeper` is the subclass's keeper of the engine."""

    runs: reactive[Runs] = reactive(Runs())
    _keeper: EngineKeeper
    _runs_timer: Timer

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self._run_keeper = RunKeeper()

    def begin_with_runs(self) -> None:
        """Find runs, and read on while one trains."""
        self._runs_timer = self.set_interval(RUNS_EVERY, self._poll_runs, pause=True)
        self.look_at_runs()

    @on(RunsLookWanted)
    def look_at_runs(self) -> None:
        """Find runs that others began, or that were brought back; a look at one folder."""
        if new := self._run_keeper.new_folders():
            self._find_runs(new)
        self._poll_runs(every=True)

    @work(thread=True, exclusive=True, group="runs", exit_on_error=False)
    def _find_runs(self, folders: list[Path]) -> None:
        self.post_message(RunsFound(self._run_keeper.find(folders)))

    @on(RunsFound)
    def _runs_found(self, message: RunsFound) -> None:
        self._run_keeper.add(message.found)
        self._show_runs()

    @on(RunStarted)
    def _run_started(self, message: RunStarted) -> None:
        self._run_keeper.started(message.folder, message.process)
        self.look_at_runs()
        self._show_runs()

    @on(RunWatched)
    def _run_watched(self, message: RunWatched) -> None:
        self._run_keeper.watch(message.run)
        self._show_runs()

    @on(BesideWanted)
    def _beside_wanted(self, message: BesideWanted) -> None:
        from tui.screens.beside import BesideScreen

        self.push_screen(BesideScreen(self._sources, self._keeper, message.run))

    def _poll_runs(self, *, every: bool = False) -> None:
        if self._run_keeper.poll(every=every):
            self._show_runs()
            for run in self.runs.items:
                if run.ended:
                    run.ended = False
                    self._tell_end(run)

    def _tell_end(self, run: Run) -> None:
        """Offer to talk to what a run has learned, or say that it failed."""
        name = clean(run.name)
        if run.state == "done":
            self.notify(
                f"✓ {name} is trained. In Train, c talks to it beside its base.", markup=False
            )
        elif run.state in ("failed", "died"):
            why = clean(run.status.error.message) if run.status.error else "Its process is gone."
            self.notify(f"✗ {name}: {why}", severity="error", timeout=20, markup=False)

    def _show_runs(self) -> None:
        self.runs = self._run_keeper.runs
        (self._runs_timer.resume if self.runs.active else self._runs_timer.pause)()

    def _train_screen(self) -> Screen[None]:
        """Return the fine-tunes, imported when they are first opened."""
        from tui.draft import Draft
        from tui.screens.train import TrainScreen

        return TrainScreen(self._sources, Draft())

    @on(TrainWanted)
    async def _train_wanted(self, message: TrainWanted) -> None:
        if not self.offers_training():
            await self.switch_mode("train")
            self.screen.post_message(TrainWanted(message.model))  # the screen takes it

    def offers_training(self) -> bool:
        """Offer to install what training needs, if it is missing."""
        from backend import extras

        wanted = extras.missing("train")
        if not wanted:
            return False
        from tui.screens.install import InstallScreen

        def told(done: bool | None) -> None:
            if done:
                self.notify("Training is installed.", markup=False)

        question = "Training needs packages that are not installed: a download of 1 to 4 GB."
        self.push_screen(InstallScreen(question, wanted), told)
        return True
