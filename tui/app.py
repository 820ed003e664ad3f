"""The Sterna app. It wires: state comes in by messages, screens read it, nothing is decided here."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.dom import DOMNode
from textual.reactive import reactive
from textual.screen import Screen

from backend.errors import SternaError
from backend.text import clean
from tui import themes
from tui.downloading import DownloadingApp
from tui.engine import EngineKeeper
from tui.machine_app import MACHINE_KEY
from tui.messages import (
    AdapterWanted,
    ChatWanted,
    EngineChanged,
    LibraryRead,
    MemoryWanted,
    ModelWanted,
    ModeWanted,
    NewChat,
    RescanWanted,
)
from tui.screens.models import ModelsScreen
from tui.sources import Sources, has_settings
from tui.state import Engine, Library, Memory, Phase
from tui.swift import terminal_is_gone
from tui.training_app import RUN_KEYS

if TYPE_CHECKING:
    from backend.library import LibraryModel

FOUND_EVERY = 0.5  # seconds between two lists of a first look that takes long
MEMORY_EVERY = 5.0  # seconds: the only clock that ticks when nothing happens


def _provider(name: str) -> type[Provider]:
    """Return a provider of the palette, imported when it is first opened."""
    from tui import palette

    return vars(palette)[name]  # type: ignore[no-any-return]


class SternaApp(DownloadingApp, inherit_bindings=False):
    """Modes, shared facts, keys and themes."""

    TITLE = "sterna"
    CSS_PATH = ["app.tcss", "screens/models.tcss"]  # noqa: RUF012
    DEFAULT_MODE = "models"
    PAUSE_GC_ON_SCROLL = True
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"),
        (100, "-wide"),
        (140, "-broad"),
    ]
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {
        lambda: _provider("Verbs"),
        lambda: _provider("Models"),
        lambda: _provider("Themes"),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "mode('models')", "Models", show=False, tooltip="Models", id="app.models"),
        Binding("2", "mode('hub')", "Hub", show=False, tooltip="Hub", id="app.hub"),
        Binding("3", "mode('chat')", "Chat", show=False, tooltip="Chat", id="app.chat"),
        Binding("4", "mode('train')", "Train", show=False, id="app.train"),
        *RUN_KEYS,
        Binding(
            "D,f6",
            "downloads",
            "downloads",
            show=False,
            tooltip="Show or hide the downloads",
            id="app.downloads",
        ),
        Binding("question_mark,f1", "help", "help", tooltip="Help", id="app.help"),
        MACHINE_KEY,
        Binding("ctrl+p", "command_palette", "everything", id="app.palette", priority=True),
        Binding("ctrl+q", "quit", "Quit", show=False, id="app.quit", priority=True),
        Binding("ctrl+c", "help_quit", show=False, id="app.help_quit"),
    ]

    memory: reactive[Memory | None] = reactive(None)
    processor: reactive[str] = reactive("")
    library: reactive[Library] = reactive(Library())
    engine: reactive[Engine] = reactive(Engine())

    def __init__(self, sources: Sources | None = None) -> None:
        super().__init__(sources or Sources())
        self._clashes: set[Binding] = set()
        self._complaints: list[str] = []
        self._noticed: set[str] = set()
        self._last_found = 0.0
        self._keeper = EngineKeeper(self.post_message, self._sources)
        self.use_theme(themes.choose(self._apply_settings() if has_settings() else ""))

    def _apply_settings(self) -> str:
        """Take the keys from the settings and return the theme; wrong ones are told, defaults hold."""
        try:
            screen = self._sources.settings().screen
        except SternaError as error:
            self._complaints.append(f"{error.message} {error.hint}")
            return ""
        self.set_keymap(screen.keys)
        if screen.theme and screen.theme not in self.available_themes:
            self._complaints.append(f"The settings name the theme {screen.theme}: there is none.")
            return ""
        return screen.theme

    def get_default_screen(self) -> Screen[None]:
        """Return the screen of the first mode."""
        return ModelsScreen(self._sources)

    def on_mount(self) -> None:
        self.add_mode("models", self.get_default_screen)
        self.add_mode("hub", self._hub_screen)
        self.add_mode("chat", self._chat_screen)
        self.add_mode("train", self._train_screen)
        self.call_after_refresh(self._started)

    def _started(self) -> None:
        """Do what would have kept the first screen waiting."""
        for complaint in self._complaints:
            self.notify(clean(complaint), severity="warning", timeout=20, markup=False)
        self._read_memory()
        self.processor = self._sources.processor()
        self.set_interval(MEMORY_EVERY, self._tick)
        self.begin_with_runs()
        self._rescan()
        self._hardware.read()
        self.start_downloads()
        gc.freeze()

    def _tick(self) -> None:
        if terminal_is_gone(self):
            self.exit(return_code=1)
        self._read_memory()
        self.look_at_runs()

    @on(MemoryWanted)
    def _read_memory(self) -> None:
        self.memory = self._keeper.counted(self._sources.memory())
        self._hardware.follow(self.memory)

    # Models on disk

    @on(RescanWanted)
    def _rescan(self) -> None:
        self.library = Library(self.library.models, self.library.scanned, scanning=True)
        self._read_library()

    @work(thread=True, exclusive=True, group="library", exit_on_error=False)
    def _read_library(self) -> None:
        try:
            listing = self._sources.library(self._sources.settings(), self._found_some)
            self.post_message(LibraryRead(tuple(listing.models), notices=tuple(listing.notices)))
        except SternaError as error:
            self.post_message(LibraryRead((), error))
        except Exception as error:
            logging.exception("looking for models failed")
            fact = f"Looking for models failed: {error}"
            self.post_message(LibraryRead((), SternaError("internal", fact, "The log has more.")))

    def _found_some(self, so_far: Callable[[], list[LibraryModel]]) -> None:
        """Show the first look as it goes: many new files take a while. Called in its thread."""
        now = time.monotonic()
        if not self.library.scanned and now - self._last_found >= FOUND_EVERY:
            self._last_found = now
            self.post_message(LibraryRead(tuple(so_far()), ended=False))

    @on(LibraryRead)
    def _library_read(self, message: LibraryRead) -> None:
        if message.ended:
            self.library = Library(message.models, scanned=True, error=message.error)
        elif not self.library.scanned:
            self.library = Library(message.models, scanning=True)
        for notice in set(message.notices) - self._noticed:
            self._noticed.add(notice)
            self.notify(clean(notice), severity="warning", timeout=20, markup=False)

    # The engine

    @on(EngineChanged)
    def _engine_changed(self, message: EngineChanged) -> None:
        before, self.engine = self.engine.phase, message.engine
        if before is Phase.LOADING and message.engine.phase is Phase.READY:
            self._rescan()  # the list tells when each model was last used
        if before is not message.engine.phase:
            self._read_memory()
        if before is Phase.ANSWERING:
            self._hardware.ran()

    @on(ChatWanted)
    async def _chat_wanted(self, message: ChatWanted) -> None:
        same = self.engine.path == message.model.path and self.engine.phase is not Phase.FAILED
        same = same and not self.engine.adapter
        if not same:
            self._keeper.load(message.model)
        await self.switch_mode("chat")
        if not same:
            self.screen.post_message(NewChat())

    @on(AdapterWanted)
    async def _adapter_wanted(self, message: AdapterWanted) -> None:
        base, adapter = message.model, message.adapter
        self._keeper.load_tuned(base.path, base.name, adapter.path, adapter.name)
        await self.switch_mode("chat")
        self.screen.post_message(NewChat())

    @on(ModelWanted)
    def _model_wanted(self, message: ModelWanted) -> None:
        for model in self.library.models:
            if message.name == f"{model.name} {model.quant}".strip() and model.error is None:
                self._keeper.load(model)
                return
        self.notify(f"{clean(message.name)} is not on this computer.", markup=False)

    async def on_unmount(self) -> None:
        """End the engine and the downloads with the app."""
        await self.end_downloads()
        await self._keeper.close()
        await self._hardware.close()

    # Modes and keys

    def _chat_screen(self) -> Screen[None]:
        """Return the chat, imported when it is first opened."""
        from tui.screens.chat import ChatScreen

        return ChatScreen(self._sources, self._keeper)

    def _hub_screen(self) -> Screen[None]:
        """Return the Hub, imported when it is first opened."""
        from tui.screens.hub import HubScreen

        return HubScreen(self._sources)

    @on(ModeWanted)
    def _mode_wanted(self, message: ModeWanted) -> None:
        self.switch_mode(message.mode)

    def action_mode(self, mode: str) -> None:
        """Open a mode."""
        if mode != "train" or not self.offers_training():
            self.switch_mode(mode)

    def action_help(self) -> None:
        """Explain the focused thing and its keys."""
        from tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.screen))

    def action_help_quit(self) -> None:
        """Say how to leave, to a person who pressed ctrl+c."""
        self.notify("q in Models or ctrl+q anywhere leaves Sterna.", markup=False)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """Tell once which keys of the settings collide."""
        for binding in clashed_bindings - self._clashes:
            self.notify(
                f"The key {binding.key} of “{binding.id}” is taken twice. See [keys] in the settings.",
                severity="warning",
                markup=False,
            )
        self._clashes |= clashed_bindings


def run(app: SternaApp | None = None, *, headless: bool = False) -> int:
    """Open the app; return its exit status."""
    from backend import log

    log.to_file("app")
    app = app or SternaApp()
    app.run(headless=headless)
    return app.return_code or 0
