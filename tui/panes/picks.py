"""What to begin with, where there is no model but the starter: three that fit this machine."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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
from tui import fetching
from tui.messages import MeasureWanted, RescanWanted
from tui.panes import fit_words
from tui.sources import Sources
from tui.state import Hardware, Library
from tui.telling import tell_failed

if TYPE_CHECKING:
    from backend.machine import Machine
    from backend.picks import Picked

TITLE = "To begin with: what fits this machine (d downloads; times at 100 Mbit/s)"


@dataclass
class Made(Message):
    """The picks for this machine."""

    picks: list[Picked]
    types: tuple[str, ...]


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
        self._fetching = False

    def compose(self) -> ComposeResult:
        yield Static(TITLE, markup=False)
        yield PickList(markup=False, compact=True)
        yield Static(markup=False, id="fetched")

    def on_mount(self) -> None:
        self.display = False
        self.query_one("#fetched").display = False
        self.watch(self.app, "library", self._library_changed)
        self.watch(self.app, "hardware", self._hardware_changed)

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
        self.display = (wanted and bool(self._picks)) or self._fetching
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
        if self._fetching:
            self.notify("A download is going on: esc stops it.", markup=False)
        else:
            self._fetch(self._picks[message.option_index])

    @work(exclusive=True, group="fetch", exit_on_error=False)
    async def _fetch(self, picked: Picked) -> None:
        name = clean(f"{picked.pick.name} {picked.candidate.quant}")
        line = self.query_one("#fetched", Static)
        line.display = self._fetching = True
        line.update(f"◐ {name}: asking the Hub…   esc stops")
        last: dict[str, Any] = {}
        try:
            async with aclosing(fetching.fetch(picked.reference)) as events:
                async for last in events:
                    if said := fetching.words(last):
                        line.update(f"◐ {name}  {said}   esc stops")
        finally:
            line.display = self._fetching = False
        if last.get("event") == "done":
            self.notify(f"✓ {name} is here: c chats with it.", markup=False)
            self.app.post_message(RescanWanted())

    def stop(self) -> bool:
        """Stop a download; return whether there was one."""
        if not self._fetching:
            return False
        self.workers.cancel_group(self, "fetch")
        self.notify("Stopped. What came is kept: d goes on with it.", markup=False)
        return True

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Tell why a download or the picks failed."""
        event.stop()
        if event.state is WorkerState.ERROR:
            tell_failed(self, event.worker)


def _option(picked: Picked) -> Option:
    c = picked.candidate
    name = clean(f"{picked.pick.name} {c.quant}")
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
            (f"{name:<24}", "bold"),
            (f"{c.verdict.glyph} {c.verdict.text}", tone),
            speed,
            (f"\n  {' · '.join(facts)}", "$foreground 60%"),
        )
    )
