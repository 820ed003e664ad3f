"""The fit grid: which quant of a model, how long a context, how fast, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from tui import reckoning
from tui.messages import MeasureWanted
from tui.panes import fit_reasons
from tui.panes.fit_grid import FitGrid, columns_in
from tui.reckoning import Reckoned
from tui.screens.supposing import SUPPOSE_KEY, suppose
from tui.sources import Sources
from tui.state import Hardware
from tui.telling import tell_failed
from tui.widgets.keybar import KeyBar
from tui.widgets.ledger import Ledger

if TYPE_CHECKING:
    from backend.fit import Use
    from backend.machine import Machine
    from tui.fitting import Asked

LOADING = "Reading the model's header…"


@dataclass
class Done(Message):
    """A grid was reckoned."""

    reckoned: Reckoned


class FitScreen(Screen[None], inherit_bindings=False):
    """`load` is called in a thread and says what is asked about; it may ask the Hub."""

    CSS_PATH = "fit.tcss"
    HELP = (
        "Every quant of this model on this machine, or on one that you suppose (S). Memory is what "
        "Sterna's engine would take; speed is told from what was measured here."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,e", "leave", "back", key_display="esc", id="fit.back"),
        Binding("K", "next_kv", "KV type", tooltip="Another type of KV cache", id="fit.kv"),
        Binding(
            "P",
            "next_preference",
            "what first",
            tooltip="What comes first: balance, speed or quality",
            id="fit.prefer",
        ),
        SUPPOSE_KEY,
        Binding("pagedown,space", "read(1)", "read on", show=False, id="fit.down"),
        Binding("pageup", "read(-1)", "read back", show=False, id="fit.up"),
        Binding("y", "copy", "copy", show=False, tooltip="Copy the reasons", id="fit.copy"),
    ]

    def __init__(self, sources: Sources, load: Callable[[], Asked]) -> None:
        super().__init__()
        self._sources = sources
        self._load = load
        self._asked: Asked | None = None
        self._machine: Machine | None = None
        self._use: Use | None = None
        self._reckoned: Reckoned | None = None

    def compose(self) -> ComposeResult:
        yield Ledger()
        yield Static(LOADING, markup=False, id="about")
        yield FitGrid()
        with VerticalScroll(id="why", can_focus=False):
            yield Static(markup=False, id="cell")
            yield Static(markup=False, id="reasons")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(FitGrid).focus()
        self.watch(self.app, "hardware", self._hardware_changed)

    # Reckoning

    def _hardware_changed(self, hardware: Hardware) -> None:
        if hardware.machine is not None and hardware.machine is not self._machine:
            self._machine = hardware.machine
            self._again()
        elif self._reckoned is not None:
            self._show_about(hardware.measuring)

    def _again(self) -> None:
        width = self.query_one(FitGrid).scrollable_content_region.width or 78
        if self._machine is not None:
            self._reckon(self._machine, columns_in(width))

    @work(thread=True, exclusive=True, group="reckon", exit_on_error=False)
    def _reckon(self, machine: Machine, columns: int) -> None:
        from tui.verdicts import use_of

        asked = self._asked or self._load()
        use = self._use or use_of(self._sources.settings())
        self.post_message(Done(reckoning.reckon(asked, machine, use, columns)))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say why there is no grid, and go."""
        if event.state is WorkerState.ERROR:
            tell_failed(self, event.worker)
            if self._reckoned is None:
                self.dismiss()

    @on(Done)
    def _done(self, message: Done) -> None:
        found = message.reckoned
        grid, first = self.query_one(FitGrid), self._reckoned is None
        held = grid.chosen
        self._asked, self._use, self._reckoned = found.asked, found.use, found
        chosen = found.chosen
        start = (held.quant, held.context) if held and not first else _start(found)
        grid.show(found.grid, chosen.quant if chosen else "", found.here, start)
        self._show_about()
        self.query_one("#reasons", Static).update(Content("\n").join(fit_reasons.reasons(found)))
        if found.types:
            self.app.post_message(MeasureWanted(found.types))

    # What is shown

    def _show_about(self, measuring: str = "") -> None:
        if self._reckoned is not None:
            about = fit_reasons.about(self._reckoned, measuring)
            self.query_one("#about", Static).update(Content("\n").join(about))

    @on(FitGrid.Highlighted)
    def _cell_chosen(self) -> None:
        chosen, found = self.query_one(FitGrid).chosen, self._reckoned
        if chosen is not None and found is not None:
            place = self.query_one("#cell", Static)
            width = self.query_one("#why").scrollable_content_region.width or 76
            place.update(Content("\n").join(fit_reasons.cell(chosen, found.machine, width)))

    # Keys

    def action_next_kv(self) -> None:
        """Ask for another type of KV cache."""
        if self._reckoned is not None and self._use is not None:
            self._use = replace(self._use, kv=_after(self._use.kv, self._reckoned.kv_types))
            self._again()

    def action_next_preference(self) -> None:
        """Ask for something else to come first."""
        from backend.fit.use import PREFERENCES

        if self._use is not None:
            self._use = replace(self._use, prefer=_after(self._use.prefer, PREFERENCES))
            self._again()

    def action_suppose(self) -> None:
        """Suppose another machine."""
        suppose(self, self._machine)

    def action_read(self, pages: int) -> None:
        """Read on in the reasons."""
        why = self.query_one("#why")
        why.scroll_relative(y=pages * max(1, why.size.height - 1), animate=False)

    def action_copy(self) -> None:
        """Copy what is said of the model."""
        if self._reckoned is not None:
            self.app.copy_to_clipboard("\n".join(fit_reasons.plain(self._reckoned)))
            self.notify("Copied, if the terminal lets programs copy.", markup=False)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss()

    def on_resize(self) -> None:
        """A wider grid shows more contexts."""
        found = self._reckoned
        width = self.query_one(FitGrid).scrollable_content_region.width
        if found is not None and width and columns_in(width) != len(found.grid.contexts):
            self._again()


def _start(found: Reckoned) -> tuple[str, int]:
    """Return the cell to begin at: the file that is here or what to take, at the context asked for."""
    chosen = found.own or found.chosen or found.advice.candidates[0]
    return chosen.quant, found.use.tokens(found.asked.model.context)


def _after(now: str, every: tuple[str, ...]) -> str:
    return every[(every.index(now) + 1) % len(every)] if now in every else every[0]
