"""What can be done with a run: pause, stop, go on, train longer, export, delete with undo, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.screen import Screen

from backend.errors import SternaError
from backend.text import clean
from tui import words
from tui.messages import RunsLookWanted, RunStarted
from tui.screens.ask import AskScreen
from tui.telling import tell, telling

if TYPE_CHECKING:
    from tui.runs import Run


class Running(Screen[None]):
    """The part of Train that acts on the run under the cursor."""

    _deleted: Path | None = None

    @property
    def chosen(self) -> Run | None:
        """The run under the cursor."""
        raise NotImplementedError

    def action_pause(self) -> None:
        """Pause it after this step, or let it go on."""
        from backend.train.run.control import Wish, ask

        run = self.chosen
        if run is None:
            return
        wish = Wish.GO if run.state == "paused" else Wish.PAUSE
        try:
            ask(run.folder, wish)
        except OSError as error:
            fact = f"{clean(run.name)} cannot be asked: {error.strerror}."
            tell(self, SternaError("unwritable", fact, "Check the disk."))

    def action_save_and_stop(self) -> None:
        """Save a checkpoint and stop."""
        from backend.train.run import child

        if self.chosen is not None:
            with telling(self):
                child.stop(self.chosen.folder)
                self.notify("It saves and stops after this step.", markup=False)

    def action_go_on(self) -> None:
        """Go on from the newest checkpoint."""
        if self.chosen is not None:
            self._go_on(self.chosen, None)

    def action_longer(self) -> None:
        """Ask for how long, and train on."""
        run = self.chosen
        if run is None or run.recipe is None or not run.status.total:
            return
        done, total = run.status.step, run.status.total
        question = f"{done} of {total} steps are done. Train to which step in all?"

        def take(answer: str | None) -> None:
            if answer is not None:
                with telling(self):
                    self._go_on(run, _steps(answer, done))

        self.app.push_screen(AskScreen(question, str(max(total, done) * 2)), take)

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _go_on(self, run: Run, steps: int | None) -> None:
        from backend.train.begin import go_on, with_steps

        try:
            recipe = with_steps(run.recipe, steps) if steps and run.recipe else None
            process = go_on(run.folder, recipe)
        except SternaError as error:
            self.app.call_from_thread(tell, self, error)
        else:
            self.post_message(RunStarted(run.folder, process))

    def action_export(self) -> None:
        """Write the adapter as a GGUF file into the run's folder."""
        if self.chosen is not None:
            self._export(self.chosen)

    @work(thread=True, exclusive=True, group="export", exit_on_error=False)
    def _export(self, run: Run) -> None:
        from backend.train.export.of_run import adapter_of

        try:
            made = adapter_of(run.folder)
        except SternaError as error:
            self.app.call_from_thread(tell, self, error)
        else:
            said = f"Written: {words.short_path(made.path)} (step {made.step})"
            self.app.call_from_thread(self.notify, said, markup=False)

    def action_delete(self) -> None:
        """Delete the run; u brings it back."""
        from backend.train.run.removal import remove

        run = self.chosen
        if run is None:
            return
        with telling(self):
            self._deleted = remove(run.folder)
            self.notify(f"{clean(run.name)} is deleted. u brings it back.", markup=False)
        self.post_message(RunsLookWanted())

    def action_undo(self) -> None:
        """Bring back the run that was deleted last."""
        from backend.train.run.removal import restore

        if self._deleted is None:
            self.notify("Nothing was deleted.", markup=False)
            return
        with telling(self):
            restore(self._deleted)
        self._deleted = None
        self.post_message(RunsLookWanted())

    def action_race(self) -> None:
        """Compare it with the runs of the same data."""
        from tui.screens.race import RaceScreen

        if self.chosen is not None:
            self.app.push_screen(RaceScreen(self.chosen.name))


def _steps(answer: str, done: int) -> int:
    try:
        steps = int(answer)
    except ValueError:
        raise SternaError("bad_argument", "That is no number of steps.", "Type it again.") from None
    if steps <= done:
        raise SternaError("bad_argument", f"{done} steps are done already.", "Take more.")
    return steps
