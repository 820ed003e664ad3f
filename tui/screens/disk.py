"""What models take of the disks, and what of that can be had back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState, get_current_worker

from backend.pace import Pace
from backend.units import human_bytes
from tui import care, words
from tui.messages import RescanWanted
from tui.panes import columns
from tui.savings import Saving, savings
from tui.sources import Sources
from tui.telling import tell_failed
from tui.widgets.work_line import Worked, WorkLine

if TYPE_CHECKING:
    from backend.library.disk import DiskUse

MOST = 6  # paths that are shown of a thing


@dataclass
class Added(Message):
    """The disks were looked over."""

    found: DiskUse


@dataclass
class Saved(Message):
    """Something was had back."""

    said: str


class Savings(OptionList):
    """The things that can be had back; enter does the chosen one."""

    HELP = "What takes room and need not. ⏎ has the chosen thing back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "have it back", key_display="⏎", id="disk.go"),
    ]


class DiskScreen(ModalScreen[None]):
    """Stores with their sizes above, savings below."""

    CSS_PATH = "disk.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "close", key_display="esc", id="disk.close")
    ]

    def __init__(self, sources: Sources) -> None:
        super().__init__()
        self._sources = sources
        self._savings: list[Saving] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="disk"):
            yield Static("Adding up…", markup=False, id="stores")
            yield Savings(markup=False, compact=True)
            yield Static(markup=False, id="paths")
            yield WorkLine()
            yield Static("⏎ have it back   esc close", markup=False, classes="keys")

    def on_mount(self) -> None:
        self.query_one(Savings).focus()
        self._add_up()

    # In threads

    @work(thread=True, exclusive=True, group="disk", exit_on_error=False)
    def _add_up(self) -> None:
        from backend.library.hashing import StoppedError

        worker = get_current_worker()
        try:
            found = care.disk_use(self._sources.settings(), self._news, lambda: worker.is_cancelled)
        except StoppedError:
            return
        self.post_message(Added(found))

    @work(thread=True, exclusive=True, group="disk", exit_on_error=False)
    def _save(self, saving: Saving) -> None:
        from backend.library.hashing import StoppedError

        worker = get_current_worker()
        try:
            said = saving.do(self._news, lambda: worker.is_cancelled)
        except StoppedError:
            said = "Stopped."
        self.post_message(Saved(said))

    def _news(self, name: str, pace: Pace) -> None:
        self.post_message(Worked(name, pace))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Tell why work failed, and look again at what there is."""
        if event.state is WorkerState.ERROR:
            tell_failed(self, event.worker)
            self.query_one(WorkLine).done()
            if event.worker.name == "_save":
                self._add_up()

    # What is shown

    @on(Worked)
    def _worked(self, message: Worked) -> None:
        message.stop()
        self.query_one(WorkLine).tell(message.name, message.pace)

    @on(Added)
    def _added(self, message: Added) -> None:
        message.stop()
        found = message.found
        self.query_one(WorkLine).done()
        self.query_one("#stores", Static).update(_stores(found))
        self._savings = savings(found)
        options = self.query_one(Savings)
        held = options.highlighted or 0
        options.set_options(_option(saving) for saving in self._savings)
        options.display = bool(self._savings)
        if self._savings:
            options.highlighted = min(held, len(self._savings) - 1)
        else:
            self.query_one("#paths", Static).update("Nothing takes room that need not.")

    @on(Saved)
    def _saved(self, message: Saved) -> None:
        message.stop()
        self.query_one(WorkLine).done()
        self.notify(message.said, markup=False)
        self.app.post_message(RescanWanted())
        self._add_up()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, message: OptionList.OptionHighlighted) -> None:
        message.stop()
        paths = self._savings[message.option_index].paths
        lines = [f"  {words.short_text(path)}" for path in paths[:MOST]]
        if len(paths) > MOST:
            lines.append(f"  and {len(paths) - MOST} more")
        self.query_one("#paths", Static).update("\n".join(lines))

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self._save(self._savings[message.option_index])

    def action_leave(self) -> None:
        """Stop what is being done; close otherwise."""
        if self.query_one(WorkLine).display:
            self.workers.cancel_group(self, "disk")
            self.query_one(WorkLine).done()
        else:
            self.dismiss()


def _stores(found: DiskUse) -> Content:
    lines = [Content.styled("What models take of the disks", "bold"), Content()]
    for store in found.stores:
        free = "not connected" if store.free is None else f"{human_bytes(store.free)} free"
        models = f"{store.models} model{'' if store.models == 1 else 's'}"
        name = columns.store_name(store.store)
        row = f"{name:<12}{human_bytes(store.bytes):>9}  {models:<11} {free:<17}"
        lines.append(Content.assemble(row, (words.short_text(store.path), "$foreground 60%")))
    total = f"{'in all':<12}{human_bytes(found.bytes):>9}"
    lines += [Content(total), Content(), Content(_reclaimable(found))]
    return Content("\n").join(lines)


def _reclaimable(found: DiskUse) -> str:
    if not found.reclaimable:
        return ""
    return f"{human_bytes(found.reclaimable)} can be had back without losing a model:"


def _option(saving: Saving) -> Option:
    size = f"{human_bytes(saving.bytes):>8}"
    return Option(Content.assemble((size, "bold"), f"  {saving.title}: {saving.verb}"))
