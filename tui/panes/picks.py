"""What to begin with, where there is no model but the starter: three that fit this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState

from backend.text import clean
from backend.units import human_bytes, human_rate, human_seconds
from tui import browsing
from tui.messages import MeasureWanted
from tui.panes import fit_words, hub_words
from tui.queue_messages import DownloadWanted
from tui.sources import Sources
from tui.state import Downloads, Hardware, Library
from tui.telling import tell_failed

if TYPE_CHECKING:
    from backend.hub.order import Order
    from backend.machine import Machine
    from backend.picks import Picked

TITLE = "To begin with: what fits this machine (d downloads; times at 100 Mbit/s)"


@dataclass
class Made(Message):
    """The picks for this machine."""

    picks: list[Picked]
    types: tuple[str, ...]


@dataclass
class Ordered(Message):
    """What the Hub has of a pick."""

    picked: Picked
    order: Order


class PickList(OptionList):
    """The picks themselves."""

    HELP = "Models to begin with, in the quant that suits this machine. d downloads the chosen one."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "d,enter",
            "select",
            "download",
            key_display="d",
            tooltip="Download the chosen model",
            id="picks.download",
        ),
        Binding("k", "cursor_up", "Pick up", show=False, id="picks.up"),
        Binding("j", "cursor_down", "Pick down", show=False, id="picks.down"),
    ]


class Picks(Vertical):
    """Hidden as soon as there is a model of the person's own."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(id="picks")
        self._sources = sources
        self._picks: list[Picked] = []
        self._library = Library()
        self._machine: Machine | None = None
        self._downloads = Downloads()
        self._asking = ""  # what is said while the Hub is asked for a pick

    def compose(self) -> ComposeResult:
        yield Static(TITLE, markup=False)
        yield PickList(markup=False, compact=True)
        yield Static(markup=False, id="fetched")

    def on_mount(self) -> None:
        self.display = False
        self.query_one("#fetched").display = False
        self.watch(self.app, "library", self._library_changed)
        self.watch(self.app, "hardware", self._hardware_changed)
        self.watch(self.app, "downloads", self._downloads_changed)

    def _library_changed(self, library: Library) -> None:
        self._library = library
        self._look()

    def _hardware_changed(self, hardware: Hardware) -> None:
        if hardware.machine is not self._machine:
            self._machine, self._picks = hardware.machine, []
            self._look()

    def _look(self) -> None:
        """Show the picks where they are wanted; reckon them when that is new."""
        models = self._library.models
        wanted = self._library.scanned and all(model.store == "starter" for model in models)
        self.display = wanted and bool(self._picks)
        if wanted and not self._picks and self._machine is not None:
            self._choose(self._machine)

    @work(thread=True, exclusive=True, group="picks", exit_on_error=False)
    def _choose(self, machine: Machine) -> None:
        from backend import picks

        made = picks.choose(machine)
        self.post_message(Made(made, picks.unmeasured(made)))

    @on(Made)
    def _made(self, message: Made) -> None:
        message.stop()
        self._picks = message.picks
        options = self.query_one(PickList)
        held = options.highlighted or 0
        options.set_options([_option(picked) for picked in message.picks])
        if message.picks:
            options.highlighted = min(held, len(message.picks) - 1)
        self.display = bool(message.picks)
        if message.types:
            self.app.post_message(MeasureWanted(message.types))

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        picked = self._picks[message.option_index]
        self._asking = f" ◐ {_name(picked)}: asking the Hub…"
        self._show_fetching()
        self._order(picked)

    @work(thread=True, exclusive=True, group="order", exit_on_error=False)
    def _order(self, picked: Picked) -> None:
        order = browsing.order_for(self._sources.catalogue(), picked.reference)
        self.post_message(Ordered(picked, order))

    @on(Ordered)
    def _ordered(self, message: Ordered) -> None:
        message.stop()
        self._asking = ""
        self.app.post_message(DownloadWanted(message.order))
        licence = clean(message.order.license or message.picked.pick.license)
        said = f"{_name(message.picked)} ({licence}) is in the queue. D shows the downloads."
        self.notify(said, markup=False)
        self._show_fetching()

    def _downloads_changed(self, downloads: Downloads) -> None:
        self._downloads = downloads
        self._show_fetching()

    def _show_fetching(self) -> None:
        """Say how the downloads stand that are under way."""
        line = self.query_one("#fetched", Static)
        line.update(self._asking or hub_words.fetching(self._downloads))
        line.display = bool(self._asking or self._downloads.waiting)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Tell why the picks or an order failed."""
        event.stop()
        if event.worker.group == "order" and event.worker.is_finished:
            self._asking = ""
            self._show_fetching()
        if event.state is WorkerState.ERROR:
            tell_failed(self, event.worker)


def _name(picked: Picked) -> str:
    return clean(f"{picked.pick.name} {picked.candidate.quant}")


def _option(picked: Picked) -> Option:
    c = picked.candidate
    speed = f"  ~{human_rate(c.speed.answer)} tok/s" if c.speed else ""
    tone = fit_words.TONES[c.verdict.kind]
    facts = [
        human_bytes(picked.bytes),
        human_seconds(picked.seconds),
        clean(picked.pick.about),
        clean(picked.pick.license),
    ]
    return Option(
        Content.assemble(
            (f"{_name(picked):<24}", "bold"),
            (f"{c.verdict.glyph} {c.verdict.text}", tone),
            speed,
            (f"\n  {' · '.join(facts)}", "$foreground 60%"),
        )
    )
