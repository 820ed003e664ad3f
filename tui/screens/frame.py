"""What every mode's screen has: ledger and mode bar on top, live keys at the bottom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from tui.panes.run_pane import RunFold, RunPane
from tui.telling import tell_failed
from tui.widgets.keybar import KeyBar
from tui.widgets.ledger import Ledger
from tui.widgets.modebar import ModeBar


class ModeScreen(Screen[None], inherit_bindings=False):
    """A mode. Subclasses name it, explain it and compose its body."""

    MODE: ClassVar[str]
    HELP: ClassVar[str]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next part", show=False, id="screen.next"),
        Binding(
            "shift+tab", "app.focus_previous", "Previous part", show=False, id="screen.previous"
        ),
        Binding(
            "ctrl+c,super+c", "screen.copy_text", "Copy the selection", show=False, id="screen.copy"
        ),
    ]

    def compose(self) -> ComposeResult:
        yield Ledger()
        yield ModeBar(self.MODE)
        with Horizontal(id="beside"):
            with Vertical(id="centre"):
                yield from self.body()
            yield RunPane(always=self.MODE == "train")
        yield RunFold()
        yield KeyBar()

    def action_run_pane(self) -> None:
        """Show or hide the training run; on a narrow screen it takes the mode's place."""
        self.toggle_class("-run-toggled")

    def action_run_whole(self) -> None:
        """Show everything about the run that is watched."""
        from tui.screens.run import RunScreen

        if self.has_class("-run"):
            self.app.push_screen(RunScreen())
        else:
            self.notify("No training run is watched: 4 opens Train.", markup=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Tell why a worker of this screen failed."""
        if event.state is WorkerState.ERROR:
            tell_failed(self, event.worker)

    def body(self) -> Iterable[Widget]:
        """Yield what stands between the bars."""
        raise NotImplementedError
