"""The side pane of downloads: what is fetched, how fast, and the keys for it. Opens beside any mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from backend.units import human_bytes
from tui import queue_words
from tui.messages import ChatWanted
from tui.queue_messages import DownloadWish, LimitWanted
from tui.screens.ask import AskScreen

if TYPE_CHECKING:
    from backend.hub.queue import Item
    from tui.state import Downloads

OPEN = "-side"  # the class of a screen whose side pane shows the downloads
EMPTY = (
    "Nothing is being downloaded.\n\nPress 2 for the Hub, choose a model, and d on one of its files. "
    "What is fetched goes on after an interruption, also of the computer."
)
KEYS = "space pause, go on  x give up, remove\n⏎ chat  ⇧↑ ⇧↓ order  b limit  esc close"


def toggle(screen: Screen[object]) -> None:
    """Open the pane beside a mode, or close it."""
    try:
        body = screen.query_one("#body")
    except NoMatches:  # a window is open over the mode
        return
    if panes := body.query(DownloadsPane):
        panes.first(DownloadsPane).action_close()
    else:
        screen.add_class(OPEN)
        body.mount(DownloadsPane(screen.focused))


class DownloadsPane(Vertical):
    """Reads the app's downloads; wishes go to the app as messages."""

    HELP = (
        "Downloads, in the order in which they are worked through. They go on where they were after any "
        "interruption, and every file's hash is compared with the Hub's before it is used."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "pause", tooltip="Pause, or go on", id="downloads.pause"),
        Binding(
            "x",
            "cancel",
            "give up",
            tooltip="Give it up; a second time, remove it with what came of it",
            id="downloads.cancel",
        ),
        Binding(
            "shift+up,K", "move('up')", "earlier", show=False, tooltip="Earlier", id="downloads.up"
        ),
        Binding(
            "shift+down,J",
            "move('down')",
            "later",
            show=False,
            tooltip="Later",
            id="downloads.down",
        ),
        Binding(
            "b",
            "limit",
            "limit",
            tooltip="Limit what all downloads together take of the line",
            id="downloads.limit",
        ),
        Binding("escape", "close", "close", key_display="esc", id="downloads.close"),
    ]

    def __init__(self, came_from: Widget | None) -> None:
        super().__init__()
        self._came_from = came_from
        self._items: tuple[Item, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="total", markup=False)
        yield OptionList(markup=False, compact=True)
        yield Static(EMPTY, id="idle", markup=False)
        yield Static(KEYS, classes="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self.watch(self.app, "downloads", self._changed)

    @property
    def chosen(self) -> Item | None:
        """The download under the cursor."""
        at = self.query_one(OptionList).highlighted
        return self._items[at] if at is not None and at < len(self._items) else None

    def _changed(self, downloads: Downloads) -> None:
        listed = self.query_one(OptionList)
        held = self.chosen
        same = [item.id for item in self._items] == [item.id for item in downloads.items]
        self._items = downloads.items
        if same:
            for at, item in enumerate(self._items):
                listed.replace_option_prompt_at_index(at, _prompt(item))
        else:
            listed.set_options(Option(_prompt(item)) for item in self._items)
            places = {item.id: at for at, item in enumerate(self._items)}
            if self._items:
                listed.highlighted = places.get(held.id, 0) if held else 0
        listed.display = bool(self._items)
        self.query_one("#idle").display = not self._items
        self.query_one("#total", Static).update(_total(downloads))
        self.refresh_bindings()

    # What the person does

    def action_pause(self) -> None:
        """Pause what waits or runs; go on with anything else that is not done."""
        item = self.chosen
        if item is not None and item.state != "done":
            verb = "pause" if item.state in ("running", "queued") else "resume"
            self.post_message(DownloadWish(verb, item.id))

    def action_cancel(self) -> None:
        """Give it up, which space undoes; a second time, take it off the list."""
        item = self.chosen
        if item is None:
            return
        gone = item.state in ("cancelled", "done")
        self.post_message(DownloadWish("remove" if gone else "cancel", item.id))

    def action_move(self, verb: str) -> None:
        """Let it change places with its neighbour."""
        if (item := self.chosen) is not None and item.state != "done":
            self.post_message(DownloadWish(verb, item.id))

    def action_limit(self) -> None:
        """Ask for the limit."""
        from backend import settings
        from tui.telling import telling

        now = 0.0
        with telling(self):
            now = settings.load().downloads.megabytes_per_second
        question = "Megabytes a second for all downloads together; 0 is no limit."
        self.app.push_screen(AskScreen(question, f"{now:g}"), self._limited)

    def _limited(self, answer: str | None) -> None:
        if answer is None:
            return
        try:
            rate = float(answer.replace(",", "."))
        except ValueError:
            rate = -1.0
        if not 0 <= rate < 1e6:
            self.notify("That is no speed: write a number, as 2.5.", markup=False)
            return
        self.post_message(LimitWanted(rate))
        said = f"{rate:g} MB/s at most." if rate else "Downloads take what the line gives."
        self.notify(said, markup=False)

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        """Chat with what is there; go on with what is not."""
        message.stop()
        item = self.chosen
        if item is None:
            return
        if item.state != "done":
            self.action_pause()
            return
        for model in self.app.library.models:  # type: ignore[attr-defined]
            if item.path in {str(copy.path) for copy in model.copies} and model.kind == "model":
                self.post_message(ChatWanted(model))
                return
        self.notify("It stands in Models: press 1.", markup=False)

    def action_close(self) -> None:
        """Give the room back to the mode."""
        screen = self.screen
        screen.remove_class(OPEN)
        focus = self._came_from
        self.remove()
        if focus in screen.focus_chain:
            screen.set_focus(focus)


def _prompt(item: Item) -> Content:
    glyph = queue_words.GLYPHS[item.state]
    style = {"failed": "$text-error", "done": "$text-success"}.get(item.state, "$foreground 60%")
    return Content.assemble(
        f"{glyph} ", (queue_words.name(item), "bold"), "\n  ", (queue_words.state(item), style)
    )


def _total(downloads: Downloads) -> Content:
    title = Content.styled("Downloads", "bold $text-primary")
    if downloads.error is not None:
        return title + Content("\n") + Content.styled(f"✗ {downloads.error.message}", "$text-error")
    waiting = downloads.waiting
    speed = sum(item.speed for item in waiting)
    left = sum(item.bytes - item.done for item in waiting)
    if not waiting:
        return title
    rate = f" at {human_bytes(round(speed))}/s" if speed else ""
    return title + Content(f"   {human_bytes(left)} to come{rate}")
