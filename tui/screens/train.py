"""Mode 4, Train: put a fine-tune together, see what it takes, start it; and every run there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol, cast

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from backend.train.catalogue import CATALOGUE
from tui import train_fields
from tui.bases_and_data import base_choices, data_choices, example
from tui.draft import Draft
from tui.messages import BesideWanted, RunStarted, RunWatched, TrainWanted
from tui.panes import columns
from tui.panes.run_table import RunTable
from tui.panes.train_menu import TrainMenu
from tui.runs import Run, Runs
from tui.screens.ask import AskScreen
from tui.screens.choose import ChooseScreen
from tui.screens.frame import ModeScreen
from tui.screens.preparing import Preparing
from tui.screens.preview import PreviewScreen
from tui.screens.run import RunScreen
from tui.screens.running import Running
from tui.screens.train_keys import KEYS, SHOWN
from tui.sources import Sources
from tui.state import Hardware, Library
from tui.telling import tell, telling
from tui.train_fields import Field
from tui.widgets.long_table import LongTable

STARTED = "▶ It trains in a process of its own: chat or leave, it goes on."


class _Holder(Protocol):
    """The app, as far as this screen knows it."""

    hardware: Hardware
    library: Library
    runs: Runs


class TrainScreen(Preparing, Running, ModeScreen):
    """Two views: the menu of a new fine-tune, and the table of runs."""

    MODE = "train"
    HELP = (
        "Fine-tuning: a model of yours learns from your examples, as a small adapter beside it. Each "
        "run is a process of its own, which goes on when Sterna is closed."
    )
    CSS_PATH = "train.tcss"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, sources: Sources, draft: Draft) -> None:
        super().__init__()
        self._sources = sources
        self.draft = draft
        self._wants_menu = False  # or it is shown because there are no runs

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="body"), Vertical(id="main"):
            yield Static(id="title", markup=False)
            yield RunTable(self._sources.now)
            yield TrainMenu()
            yield Static(id="estimate", markup=False)

    def on_mount(self) -> None:
        self._view(menu=not self._runs.items)
        self.watch(self.app, "runs", self._runs_changed)
        self.prepare()

    def on_unmount(self) -> None:
        self.stop_looking()

    # What is shown

    @property
    def _runs(self) -> Runs:
        return cast(_Holder, self.app).runs

    @property
    def in_menu(self) -> bool:
        """Whether the menu is shown, and not the runs."""
        return self.has_class("-menu")

    def _view(self, *, menu: bool) -> None:
        self.set_class(menu, "-menu")
        self.query_one(TrainMenu if menu else RunTable).focus()
        self.show_draft()

    def show_draft(self) -> None:
        """Show the draft as it is now."""
        machine = cast(_Holder, self.app).hardware.machine
        self.query_one(TrainMenu).show(self.draft, cards=len(machine.gpus) if machine else 0)
        width = max(40, self.query_one("#main").size.width - 2)
        made = self.draft.estimate
        style = "$text-error" if made is not None and not made.fits else ""
        lines = self.draft.estimate_lines(width)
        self.query_one("#estimate", Static).update(
            Content("\n").join(Content.styled(line, style) for line in lines)
        )
        self._show_title()
        self.refresh_bindings()

    def _show_title(self) -> None:
        runs = self._runs.items
        count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}, the newest first"
        said = self.draft.sentence() if self.in_menu else count
        self.query_one("#title", Static).update(Content.styled(said, "bold"))

    def name_of(self, model: str) -> str:
        """Return the library's name of a file, empty where it has none."""
        models = cast(_Holder, self.app).library.models
        return next((columns.short_name(m) for m in models if str(m.path) == model), "")

    def _runs_changed(self, runs: Runs) -> None:
        self.query_one(RunTable).fill(runs)
        if self.in_menu and runs.items and not self._wants_menu:
            self._view(menu=False)
        elif not self.in_menu and not runs.items:
            self._view(menu=True)
        self._show_title()
        self.refresh_bindings()

    def on_resize(self) -> None:
        """Break lines for the new width."""
        self.call_after_refresh(self.show_draft)

    # The menu

    @on(TrainWanted)
    def _train_wanted(self, message: TrainWanted) -> None:
        """Train this model: the menu is shown with it. The starter has an example beside it."""
        message.stop()
        recipe = train_fields.put(self.draft.recipe, "base.model", str(message.model.path))
        if message.model.store == "starter" and not recipe.data.path:
            recipe = train_fields.put(recipe, "data.path", str(example()))
            recipe = train_fields.put(recipe, "schedule.epochs", 1)  # it has learned it by then
        self.draft.recipe = recipe
        self._wants_menu = True
        self._view(menu=True)
        self.prepare()

    @on(TrainMenu.Changed)
    def _changed(self, message: TrainMenu.Changed) -> None:
        field, draft = message.field, self.draft
        if field.kind == "technique":
            names = list(CATALOGUE)
            now = names.index(draft.recipe.technique.name)
            self._put(field, names[(now + message.by) % len(names)])
            return
        now = train_fields.value(draft.recipe, field.key)
        if now == 0 and field.kind in ("number", "whole") and not field.zero:
            now = train_fields.value(draft.filled, field.key)
        self._put(field, train_fields.step(field, now, message.by))

    def _put(self, field: Field, new: object) -> None:
        self._wants_menu = True
        with telling(self):
            self.draft.recipe = train_fields.put(self.draft.recipe, field.key, new)
        self.prepare()

    @on(TrainMenu.OpenWanted)
    def _open_wanted(self, message: TrainMenu.OpenWanted) -> None:
        self._open(message.field)

    def action_change(self) -> None:
        """Choose or type the line under the cursor; on the technique, mark it for a race."""
        field = self.query_one(TrainMenu).field
        if field.kind == "technique":
            self.draft.marked ^= {self.draft.recipe.technique.name}
            self.prepare()
        else:
            self._open(field)

    def _open(self, field: Field) -> None:
        def take(text: str | None) -> None:
            if text is None:
                return
            with telling(self):
                self._put(field, train_fields.parse(field, text))

        if field.kind == "base":
            holder = cast(_Holder, self.app)
            what = "Which model learns? Type some of its name, a path, or owner/name of the Hub."
            self.app.push_screen(
                ChooseScreen(
                    what, lambda typed: base_choices(holder.library.models, typed), "name or path"
                ),
                take,
            )
        elif field.kind == "data":
            runs = self._runs.items
            what = "What does it learn? A file (.jsonl .json .csv .parquet .txt), a folder, or hf:owner/name."
            self.app.push_screen(
                ChooseScreen(what, lambda typed: data_choices(runs, typed), "name or path"), take
            )
        elif field.kind in ("switch", "choice"):
            self._changed(TrainMenu.Changed(field, 1))
        elif field.kind != "technique":
            text = train_fields.written(train_fields.value(self.draft.filled, field.key))
            about = f"{field.label}: {field.about}"
            empty = field.kind in ("text", "columns")
            self.app.push_screen(AskScreen(about, text, empty=empty), take)

    def action_preview(self) -> None:
        """Show what will be learned."""
        if self.draft.seen is None and self.draft.data_error is None:
            reading = bool(self.draft.recipe.data.path and self.draft.recipe.base.model)
            told = "The data is being read." if reading else "Choose a base and data first."
            self.notify(told, markup=False)
        else:
            self.app.push_screen(PreviewScreen(self.draft.seen, self.draft.data_error))

    def action_every_choice(self) -> None:
        """Show every choice, or the usual ones."""
        self.query_one(TrainMenu).toggle_all()

    def action_largest(self) -> None:
        """Take the largest batch that fits."""
        made = self.draft.estimate
        if self.draft.looking:
            self.notify("The data is being read.", markup=False)
        elif made is None:
            self.notify("Choose a base first.", markup=False)
        elif not made.largest_batch:
            self.notify("Not even one row fits into the memory that is free.", markup=False)
        else:
            most = min(made.largest_batch, max(1, self._rows()))
            self._put(train_fields.BY_KEY["schedule.batch"], most)

    def _rows(self) -> int:
        seen = self.draft.seen
        return seen["train"] if seen else 1 << 12

    def action_copy(self) -> None:
        """Copy the command that does the same."""
        self.app.copy_to_clipboard(self.draft.command())
        self.notify(f"Copied: {self.draft.command()}", markup=False)

    def action_start(self) -> None:
        """Start, or go to what is missing for it."""
        missing = self.draft.missing
        if missing:
            self.query_one(TrainMenu).go_to(missing)
            error = self.draft.base_error or self.draft.data_error
            if error is not None:
                tell(self, error)
            else:
                self._open(train_fields.BY_KEY[missing])
            return
        self.start_draft()

    @on(RunStarted)
    def _run_started(self) -> None:
        """Show the runs; the message goes on to the app."""
        self.draft.marked.clear()
        self._wants_menu = False
        self.notify(STARTED, markup=False)
        self._view(menu=False)

    # The runs

    @property
    def chosen(self) -> Run | None:
        """The run under the cursor."""
        return None if self.in_menu else self.query_one(RunTable).chosen

    @on(LongTable.Highlighted)
    def _highlighted(self) -> None:
        if self.chosen is not None:
            self.post_message(RunWatched(self.chosen))
        self.refresh_bindings()

    @on(LongTable.Selected)
    def action_open(self) -> None:
        """Show everything about a run."""
        if self.chosen is not None:
            self.app.push_screen(RunScreen())

    def action_beside(self) -> None:
        """Talk to the base beside what was learned, also while it still learns."""
        if self.chosen is not None:
            self.post_message(BesideWanted(self.chosen))

    def action_new(self) -> None:
        """Put a new fine-tune together; from a run, with its choices."""
        if self.chosen is not None and self.chosen.recipe is not None:
            self.draft.recipe = train_fields.again(self.chosen.recipe)
        self._wants_menu = True
        self._view(menu=True)
        self.prepare()

    def action_step_back(self) -> None:
        """From the menu to the runs, if there are any."""
        if self.in_menu and self._runs.items:
            self._wants_menu = False
            self._view(menu=False)
            self._highlighted()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell which keys do something now."""
        if action not in SHOWN:
            return True
        state = self.chosen.state if self.chosen is not None else ""
        return SHOWN[action](self.in_menu, state)
