"""Mode 1, Models: what is on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from backend.errors import SternaError
from backend.text import clean
from backend.units import human_bytes
from tui import verdicts
from tui.messages import ChatWanted, RescanWanted, TrainWanted
from tui.panes import columns, details, fit_words
from tui.panes.details import Details
from tui.panes.filter_line import FilterLine
from tui.panes.library_table import LibraryTable
from tui.panes.picks import PickList, Picks
from tui.screens import caring, judging, making
from tui.screens.adapting import put_beside
from tui.sources import Sources
from tui.state import Library
from tui.widgets.job_line import JobLine
from tui.widgets.long_table import LongTable
from tui.widgets.work_line import WorkLine

if TYPE_CHECKING:
    from backend.gguf import ModelCard
    from backend.library import LibraryModel

SORTS = ("used", "name", "size", "params", "context", "quant", "arch", "store", "favourite")
WELCOME = "Welcome to Sterna. This small model came with it: press c to chat."
CHECKPOINT = "A checkpoint becomes a GGUF file first (z); t trains on it as it is."
CARD_DELAY = 0.12  # seconds the cursor rests on a row before its file is opened


@dataclass
class CardRead(Message):
    """A file's header was read, or could not be."""

    path: Path
    card: ModelCard | None
    error: SternaError | None


class ModelsScreen(making.MakingScreen, judging.JudgingScreen):
    """A table of every model of every store, and one model's details."""

    MODE = "models"
    HELP = (
        "The models on this computer, from every store: Sterna's own folder, the Hugging Face "
        "cache, Ollama, LM Studio, llama.cpp, and the folders named in the settings. All are read "
        "in place; nothing is copied."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "chat", "chat", tooltip="Chat with the chosen model", id="models.chat"),
        Binding("t", "train", "train", tooltip="Train on the chosen model", id="models.train"),
        *judging.KEYS,
        *caring.KEYS,
        *making.KEYS,
        Binding(
            "slash",
            "filter",
            "filter",
            key_display="/",
            show=False,  # the line itself shows it
            tooltip="Show only the models that contain some words",
            id="models.filter",
        ),
        Binding(
            "s", "sort", "sort", show=False, tooltip="Sort by the next column", id="models.sort"
        ),
        Binding(
            "i",
            "details",
            "details",
            show=False,
            tooltip="Show or hide details",
            id="models.details",
        ),
        Binding(
            "r",
            "rescan",
            "rescan",
            show=False,
            tooltip="Look for models again",
            id="models.rescan",
        ),
        Binding(
            "d",
            "picks",
            "download",
            show=False,
            tooltip="Choose among the models to begin with",
            id="models.picks",
        ),
        Binding("escape", "step_back", "Step back", show=False, id="models.back"),
        Binding("q", "app.quit", "Quit", show=False, tooltip="Leave Sterna", id="models.quit"),
    ]

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self._library = Library()
        self._sort = (SORTS[0], False)
        self._ordered: list[tuple[LibraryModel, str]] = []
        self._cards: dict[Path, CardRead] = {}
        self._resting: Timer | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield FilterLine("/ filter")
                yield LibraryTable()
                yield Static(id="empty", markup=False)
                yield Picks(self._sources)
                yield Static(WELCOME, id="hint", markup=False)
                yield WorkLine()
                yield JobLine()
            yield Details()
        yield Static(id="fold", markup=False)

    def on_mount(self) -> None:
        self.query_one(LibraryTable).verdict = self.verdict
        self.query_one(LibraryTable).focus()
        self.watch(self.app, "library", self._library_changed)

    @property
    def chosen(self) -> LibraryModel | None:
        """The model under the cursor."""
        return self.query_one(LibraryTable).chosen

    # What is shown

    def _library_changed(self, library: Library) -> None:
        old = {model.path: _content(model) for model in self._library.models}
        for model in library.models:
            if old.get(model.path) != _content(model):
                self._cards.pop(model.path, None)
        growing = not self._library.scanned and self.query_one(LibraryTable).cursor_row == 0
        self._library = library
        self._order(*self._sort)
        self._show(hold=not growing)  # a first look begins anywhere: the cursor waits at the top

    def _order(self, key: str, reverse: bool = False) -> None:
        """Sort all models once, so that a keystroke in the filter only leaves some out."""
        self._sort = (key, reverse)
        models = columns.ordered(self._library.models, key, reverse=reverse)
        self._ordered = [(model, columns.haystack(model)) for model in models]

    def _show(self, *, hold: bool = True) -> None:
        line = self.query_one(FilterLine)
        table = self.query_one(LibraryTable)
        models = columns.matching(self._ordered, line.text)
        table.fill(models, sort=self._sort, now=self._sources.now(), hold=hold)
        table.display = bool(models)
        line.tell(_count(models, self._library))
        empty = self.query_one("#empty", Static)
        empty.update(_why_empty(self._library, line.text))
        empty.display = not models
        self._show_chosen()

    def _show_chosen(self) -> None:
        """Show what the index knows at once; read the file when the cursor comes to rest."""
        model = self.query_one(LibraryTable).chosen
        read = self._cards.get(model.path) if model else None
        self._show_details(model, read)
        new_here = model is not None and model.store == "starter" and model.last_used is None
        self.query_one("#hint").display = new_here
        if self._resting is not None:
            self._resting.stop()
            self._resting = None
        if model is not None and read is None:
            self._resting = self.set_timer(CARD_DELAY, lambda: self._read_card(model.path))

    def _show_details(self, model: LibraryModel | None, read: CardRead | None) -> None:
        known = self.verdict(model) if model else None
        told = model is not None and verdicts.can_be_told(model)
        self.query_one(Details).show(
            model,
            read.card if read else None,
            read.error if read else None,
            fits=lambda width: fit_words.lines(known, width) if told else [],
        )
        self.query_one("#fold", Static).update(details.fold(model, known) if model else "")

    def _judged(self) -> None:
        self.query_one(LibraryTable).refresh()
        model = self.query_one(LibraryTable).chosen
        self._show_details(model, self._cards.get(model.path) if model else None)

    @work(thread=True, exclusive=True, group="card", exit_on_error=False)
    def _read_card(self, path: Path) -> None:
        try:
            self.post_message(CardRead(path, self._sources.card(path), None))
        except SternaError as error:
            self.post_message(CardRead(path, None, error))

    @on(CardRead)
    def _card_read(self, message: CardRead) -> None:
        self._cards[message.path] = message
        chosen = self.query_one(LibraryTable).chosen
        if chosen is not None and chosen.path == message.path:
            self._show_chosen()

    # What the person does

    @on(LongTable.Highlighted)
    def _row_highlighted(self) -> None:
        self._show_chosen()

    @on(LongTable.Selected)
    def _row_selected(self) -> None:
        self.action_chat()

    @on(LongTable.HeadingSelected)
    def _heading_selected(self, message: LongTable.HeadingSelected) -> None:
        same = message.key == self._sort[0]
        self._order(message.key, reverse=not self._sort[1] if same else False)
        self._show()

    @on(FilterLine.Changed)
    def _filter_changed(self) -> None:
        self._show()

    @on(FilterLine.Left)
    def _filter_left(self) -> None:
        self.query_one(LibraryTable).focus()

    def action_chat(self) -> None:
        """Chat with the model under the cursor."""
        model = self.query_one(LibraryTable).chosen
        if model is None:
            self.notify("Put the cursor on a model first.", markup=False)
        elif model.error is not None:
            self.notify(clean(model.error), severity="warning", markup=False)
        elif model.kind == "adapter":
            put_beside(self, model, self._library.models)
        elif model.kind == "checkpoint":
            self.notify(CHECKPOINT, markup=False)
        elif model.kind != "model":
            kind = clean(model.kind)
            self.notify(f"This file is no model but of the kind “{kind}”.", markup=False)
        else:
            self.post_message(ChatWanted(model))

    def action_train(self) -> None:
        """Put a fine-tune of the model under the cursor together."""
        model = self.query_one(LibraryTable).chosen
        usable = model is not None and model.error is None and model.kind in ("model", "checkpoint")
        if model is None or not usable:
            self.notify("Put the cursor on a model that can be used.", markup=False)
        else:
            self.post_message(TrainWanted(model))

    def action_picks(self) -> None:
        """Go to the models to begin with, where they are shown."""
        if self.query_one(Picks).display:
            self.query_one(PickList).focus()

    def action_filter(self) -> None:
        """Type what to look for."""
        self.query_one(FilterLine).type_here()

    def action_sort(self) -> None:
        """Sort by the next column."""
        place = SORTS.index(self._sort[0]) + 1
        self._order(SORTS[place % len(SORTS)])
        self._show()

    def action_details(self) -> None:
        """Show or hide the details; on a narrow screen they take the table's place."""
        self.toggle_class("-details-toggled")

    def action_rescan(self) -> None:
        """Look over the stores again."""
        self.post_message(RescanWanted())

    def action_step_back(self) -> None:
        """Stop a check or a download, leave the details, then drop the filter."""
        if self.stop_work():
            return
        if self.has_class("-details-toggled"):
            self.remove_class("-details-toggled")
        elif self.query_one(FilterLine).text:
            self.query_one(FilterLine).clear()


def _content(model: LibraryModel) -> object:
    """Return what changes when a model's file does."""
    files = model.copies[0].files if model.copies else ()
    return model.error, model.bytes, [file.modified for file in files]


def _count(found: list[LibraryModel], library: Library) -> str:
    if not library.scanned:
        return "looking for models…"
    total = human_bytes(sum(model.bytes for model in found))
    some = f"{len(found)} of {len(library.models)}"
    count = some if len(found) < len(library.models) else str(len(found))
    again = " · looking…" if library.scanning else ""
    return f"{count} model{'' if count == '1' else 's'} · {total}{again}"


def _why_empty(library: Library, text: str) -> str:
    if library.error is not None:
        return f"✗ {clean(library.error.message)}\n{clean(library.error.hint)}\n\nr  look again"
    if not library.scanned:
        return "Looking over the model folders of this computer…"
    if library.models:
        return f"No model matches “{clean(text)}”.\n\nesc  show all of them"
    return (
        "This is the list of models on this computer, and it is empty.\n\n"
        "Sterna looks in its own folder, the Hugging Face cache, Ollama's and LM Studio's\n"
        "folders, and any folder that the settings name. Put a .gguf file in one of them.\n\n"
        "r  look again     ctrl+p  everything else"
    )
