"""What follows the runs over the whole screen: lines that scroll, drawn again when a run tells something."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.panes.run_pane import Line
from tui.runs import Runs

_NARROWEST = 20  # cells that lines need


class FollowingScreen(ModalScreen[None]):
    """A screen says what its lines are."""

    CSS_PATH = "preview.tcss"

    def lines(self, runs: Runs, width: int, height: int) -> list[Line] | None:
        """Return what to show, or None to leave what is there."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="whole"):
            yield Static(markup=False)

    def on_mount(self) -> None:
        self.watch(self.app, "runs", self._changed)

    def on_resize(self) -> None:
        """Draw for the new size, once it is known to all."""
        self.call_after_refresh(lambda: self._changed(getattr(self.app, "runs", Runs())))

    def _changed(self, runs: Runs) -> None:
        box = self.query_one("#whole")
        width = box.scrollable_content_region.width
        lines = self.lines(runs, width, box.size.height) if width >= _NARROWEST else None
        if lines is not None:
            self.query_one("#whole Static", Static).update(Content("\n").join(lines))

    def action_scroll(self, by: int) -> None:
        """Move what is shown."""
        self.query_one("#whole").scroll_relative(y=by, animate=False)
