"""The keys that keep a library in order: delete and undo, stars, names and notes, checks, room."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.worker import get_current_worker

from backend.errors import SternaError
from backend.pace import Pace
from backend.text import clean
from tui import care
from tui.messages import RescanWanted
from tui.screens.ask import AskScreen
from tui.screens.frame import ModeScreen
from tui.sources import Sources
from tui.state import Engine, Library
from tui.widgets.work_line import Worked, WorkLine

if TYPE_CHECKING:
    from backend.library import File, LibraryModel
    from backend.library.background import Hasher
    from backend.library.removal import Removal
    from backend.library.verification import Check

HASH_DELAY = 5.0  # seconds after a look over the stores: the first minutes belong to the person
KEYS: list[BindingType] = [
    Binding(
        "x",
        "delete",
        "delete",
        tooltip="Delete the chosen model, after a preview",
        id="models.delete",
    ),
    Binding(
        "u", "undo", "undo", show=False, tooltip="Bring back what was deleted", id="models.undo"
    ),
    Binding(
        "asterisk",
        "favourite",
        "star",
        key_display="*",
        show=False,
        tooltip="Star the chosen model, or take the star away",
        id="models.favourite",
    ),
    Binding(
        "f2",
        "rename",
        "name",
        show=False,
        tooltip="Give the chosen model a name of your own",
        id="models.rename",
    ),
    Binding(
        "n",
        "note",
        "note",
        show=False,
        tooltip="Write a note about the chosen model",
        id="models.note",
    ),
    Binding(
        "v",
        "verify",
        "verify",
        show=False,
        tooltip="Check whether the chosen model's files are what they should be",
        id="models.verify",
    ),
    Binding(
        "w",
        "disk",
        "room",
        show=False,
        tooltip="What models take of the disks, and what can be had back",
        id="models.disk",
    ),
]


@dataclass
class Planned(Message):
    """What deleting would do: where the model is listed, and everywhere."""

    one: Removal
    every: Removal | None


@dataclass
class Deleted(Message):
    """A model was deleted, or struck off the list."""

    name: str
    undoable: bool


@dataclass
class Restored(Message):
    """So many things were brought back."""

    count: int


@dataclass
class Swept(Message):
    """What an app that died has left was put in order."""

    told: list[str]


class Hashed(Message):
    """Hashing in the background has ended."""


@dataclass
class Verified(Message):
    """Files were checked."""

    name: str
    checks: list[Check]


class CaringScreen(ModeScreen):
    """A screen with a chosen model. Long work is done in threads, which only post messages.

    Subclasses put `KEYS` where they belong among their own.
    """

    def __init__(self, sources: Sources) -> None:
        super().__init__()
        self._sources = sources
        self._hasher: Hasher | None = None
        self._hashed: set[File] = set()  # what was tried: not every file can be read
        self._hash_timer: Timer | None = None
        self._swept = False

    @property
    def chosen(self) -> LibraryModel | None:
        """The model that the keys are about."""
        raise NotImplementedError

    def _wanted(self) -> LibraryModel | None:
        """Return the chosen model, or say that there is none."""
        if self.chosen is None:
            self.notify("Put the cursor on a model first.", markup=False)
        return self.chosen

    @property
    def _models(self) -> tuple[LibraryModel, ...]:
        library: Library = self.app.library  # type: ignore[attr-defined]
        return library.models

    def on_mount(self) -> None:
        self.watch(self.app, "library", self._library_known, init=False)

    def on_unmount(self) -> None:
        """Free what was deleted, and stop reading."""
        if self._hasher is not None:
            self._hasher.stop()
        with suppress(SternaError):
            care.empty_trash(self._sources.settings())

    def _library_known(self, library: Library) -> None:
        """Do what has time until the first list is on the screen."""
        if not library.scanned or library.scanning:
            return
        if not self._swept:
            self._swept = True
            self._sweep()
        if self._hash_timer is not None:
            self._hash_timer.stop()
        if self._sources.hash_loose and self._may_hash():
            self._hash_timer = self.set_timer(HASH_DELAY, self._hash)

    def _may_hash(self) -> bool:
        try:
            return self._sources.settings().library.hash_files
        except SternaError:  # it was told at the start
            return False

    @work(thread=True, group="sweep", exit_on_error=False)
    def _sweep(self) -> None:
        self.post_message(Swept(care.sweep(self._sources.settings())))

    @on(Swept)
    def _put_in_order(self, message: Swept) -> None:
        for told in message.told:
            self.notify(told, markup=False)
        if message.told:
            self.app.post_message(RescanWanted())

    # Hashes, in the background

    def _hash(self) -> None:
        files = [file for file in care.unhashed(self._models) if file not in self._hashed]
        if files and self._hasher is None:
            self._hashed.update(files)
            self._hasher = care.hasher(files, self._hashing_ended)

    def _hashing_ended(self) -> None:
        """Tell so; called in the thread."""
        self.post_message(Hashed())

    @on(Hashed)
    def _hashes_known(self) -> None:
        self._hasher = None
        self.app.post_message(RescanWanted())

    # Deleting

    def action_delete(self) -> None:
        """Show what deleting the chosen model would do."""
        if model := self._wanted():
            self._plan(model)

    @work(thread=True, exclusive=True, group="delete", exit_on_error=False)
    def _plan(self, model: LibraryModel) -> None:
        self.post_message(Planned(*care.plans(model)))

    @on(Planned)
    def _planned(self, message: Planned) -> None:
        from tui.screens.delete import DeleteScreen

        def decided(removal: Removal | None) -> None:
            if removal is not None:
                self._delete(removal)

        engine: Engine = self.app.engine  # type: ignore[attr-defined]
        loaded = engine.usable and engine.path == message.one.model.path
        self.app.push_screen(DeleteScreen(message.one, message.every, loaded=loaded), decided)

    @work(thread=True, group="delete", exit_on_error=False)
    def _delete(self, removal: Removal) -> None:
        self.post_message(Deleted(removal.model.name, care.delete(removal)))

    @on(Deleted)
    def _deleted(self, message: Deleted) -> None:
        name = clean(message.name)
        said = (
            f"Deleted {name}. u brings it back." if message.undoable else f"{name} is off the list."
        )
        self.notify(said, markup=False)
        self.app.post_message(RescanWanted())

    def action_undo(self) -> None:
        """Bring back what was deleted last."""
        self._undo()

    @work(thread=True, group="delete", exit_on_error=False)
    def _undo(self) -> None:
        try:
            self.post_message(Restored(care.undo(self._sources.settings())))
        finally:
            self.app.post_message(RescanWanted())

    @on(Restored)
    def _restored(self, message: Restored) -> None:
        self.notify("It is back." if message.count else "Nothing was deleted.", markup=False)

    # Stars, names and notes

    def action_favourite(self) -> None:
        """Star the chosen model, or take the star away."""
        if model := self._wanted():
            self._note(model, favourite=not model.favourite)

    def action_rename(self) -> None:
        """Ask for a name of the person's own."""
        model = self._wanted()
        if model is None:
            return

        def named(alias: str | None) -> None:
            if alias is not None:
                self._note(model, alias=alias)

        question = f"A name of your own for {clean(model.name)}; every command takes it"
        self.app.push_screen(AskScreen(question, model.alias, empty=True), named)

    def action_note(self) -> None:
        """Ask for a note."""
        model = self._wanted()
        if model is None:
            return

        def noted(note: str | None) -> None:
            if note is not None:
                self._note(model, note=note)

        self.app.push_screen(
            AskScreen(f"A note about {clean(model.name)}", model.note, empty=True), noted
        )

    @work(thread=True, group="note", exit_on_error=False)
    def _note(
        self,
        model: LibraryModel,
        *,
        favourite: bool | None = None,
        alias: str | None = None,
        note: str | None = None,
    ) -> None:
        care.note(model, self._models, favourite=favourite, alias=alias, note=note)
        self.app.post_message(RescanWanted())

    # Checks

    def action_verify(self) -> None:
        """Check the chosen model's files."""
        if model := self._wanted():
            self._verify(model)

    @work(thread=True, exclusive=True, group="verify", exit_on_error=False)
    def _verify(self, model: LibraryModel) -> None:
        worker = get_current_worker()

        def news(name: str, pace: Pace) -> None:
            self.post_message(Worked(f"checking {name}", pace))

        checks = care.verify([model], news, lambda: worker.is_cancelled)
        self.post_message(Verified(model.name, checks))

    @on(Worked)
    def _worked(self, message: Worked) -> None:
        self.query_one(WorkLine).tell(message.name, message.pace)

    @on(Verified)
    def _verified(self, message: Verified) -> None:
        self.query_one(WorkLine).done()
        bad = [check for check in message.checks if check.state not in ("ok", "recorded")]
        for check in bad:
            self._tell_bad(check)
        if message.checks and not bad:
            first = any(check.state == "recorded" for check in message.checks)
            what = "has its hash kept from now on" if first else "is what it should be"
            self.notify(f"✓ {clean(message.name)} {what}.", markup=False)
        self.app.post_message(RescanWanted())

    def _tell_bad(self, check: Check) -> None:
        name = clean(check.path.rpartition("/")[2])
        said = {
            "damaged": f"✗ {name} is damaged. Delete it (x) and download it again.",
            "not_connected": f"{name} lies on a disk that is not connected.",
        }
        why = clean(check.error.message) if isinstance(check.error, SternaError) else name
        self.notify(said.get(check.state, why), severity="error", timeout=15, markup=False)

    def stop_work(self) -> bool:
        """Stop a check that runs; return whether there was one."""
        line = self.query_one(WorkLine)
        if not line.display:
            return False
        self.workers.cancel_group(self, "verify")
        line.done()
        return True

    # Room

    def action_disk(self) -> None:
        """Show what models take of the disks."""
        from tui.screens.disk import DiskScreen

        self.app.push_screen(DiskScreen(self._sources))
