"""The chats kept on this computer: search, open, rename, delete with undo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from backend.text import clean
from tui import words
from tui.panes.filter_line import FilterLine
from tui.screens.ask import AskScreen
from tui.talk import Heading, Talk
from tui.telling import telling


class ChatList(OptionList, inherit_bindings=False):
    """The list itself."""

    HELP = "Your chats, newest first. They are kept on this computer and nowhere else."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "select", "open", key_display="⏎", tooltip="Open the chat", id="chats.open"
        ),
        Binding(
            "x", "delete", "delete", tooltip="Delete the chat (u brings it back)", id="chats.delete"
        ),
        Binding(
            "u", "undo", "undo", show=False, tooltip="Bring the deleted chat back", id="chats.undo"
        ),
        Binding("f2", "rename", "rename", tooltip="Rename the chat", id="chats.rename"),
        Binding(
            "slash",
            "search",
            "search",
            key_display="/",
            tooltip="Search in all chats",
            id="chats.search",
        ),
        Binding("up,k", "cursor_up", "Chat up", show=False, id="chats.up"),
        Binding("down,j", "cursor_down", "Chat down", show=False, id="chats.down"),
        Binding("pageup", "page_up", "Page up", show=False, id="chats.page_up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="chats.page_down"),
        Binding("home", "first", "First chat", show=False, id="chats.first"),
        Binding("end", "last", "Last chat", show=False, id="chats.last"),
    ]

    @property
    def chosen(self) -> int | None:
        """The number of the chat under the cursor."""
        if self.highlighted is None:
            return None
        name = self.get_option_at_index(self.highlighted).id
        return int(name) if name else None

    def action_delete(self) -> None:
        """Delete the chosen chat."""
        if self.chosen is not None:
            self.post_message(Conversations.DeleteWanted(self.chosen))

    def action_undo(self) -> None:
        """Bring the last deleted chat back."""
        self.post_message(Conversations.UndoWanted())

    def action_rename(self) -> None:
        """Rename the chosen chat."""
        if self.chosen is not None:
            self.post_message(Conversations.RenameWanted(self.chosen))

    def action_search(self) -> None:
        """Go to the search line."""
        self.post_message(Conversations.SearchBegun())


class Conversations(Vertical):
    """A pane beside the chat. It keeps the list true by itself; opening a chat is for the screen."""

    @dataclass
    class Opened(Message):
        """Show this chat."""

        id: int

    class CurrentGone(Message):
        """The chat on screen was deleted."""

    @dataclass
    class DeleteWanted(Message):
        """Delete this chat."""

        id: int

    @dataclass
    class RenameWanted(Message):
        """Rename this chat."""

        id: int

    class UndoWanted(Message):
        """Bring the last deleted chat back."""

    class SearchBegun(Message):
        """The search line gets the keys."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._talk: Talk | None = None
        self._headings: list[Heading] = []

    def compose(self) -> ComposeResult:
        yield FilterLine("/ search all chats")
        yield ChatList(markup=False, compact=True)
        yield Static(markup=False, classes="why-empty")

    def attach(self, talk: Talk) -> None:
        """List the chats of this store from now on."""
        self._talk = talk
        self.relist()

    def relist(self) -> None:
        """List the chats as they are now; the cursor stays on the chat where it was."""
        if self._talk is None:
            return
        search = self.query_one(FilterLine).text
        chats = self.query_one(ChatList)
        held, place = chats.chosen, chats.highlighted or 0
        with telling(self):
            self._headings = self._talk.headings(search)
        now = self._now()
        chats.set_options(_option(heading, self._talk.id, now) for heading in self._headings)
        ids = [heading.id for heading in self._headings]
        if ids:
            chats.highlighted = ids.index(held) if held in ids else min(place, len(ids) - 1)
        chats.display = bool(ids)
        empty = self.query_one(".why-empty", Static)
        empty.display = not ids
        empty.update(
            f"Nothing in your chats matches “{clean(search)}”."
            if search
            else "Your chats will be kept here, from the first message on."
        )

    def take_keys(self) -> None:
        """Put the cursor into the list, on the chat that is open."""
        ids = [heading.id for heading in self._headings]
        if self._talk is not None and self._talk.id in ids:
            self.query_one(ChatList).highlighted = ids.index(self._talk.id)
        if self.query_one(ChatList).display:
            self.query_one(ChatList).focus()
        else:
            self.query_one(FilterLine).type_here()

    @on(SearchBegun)
    def _search_begun(self) -> None:
        self.query_one(FilterLine).type_here()

    @on(FilterLine.Changed)
    def _text_changed(self, message: FilterLine.Changed) -> None:
        message.stop()
        self.relist()

    @on(FilterLine.Left)
    def _text_left(self, message: FilterLine.Left) -> None:
        message.stop()
        self.query_one(ChatList).focus()

    @on(OptionList.OptionSelected)
    def _chat_selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        if message.option_id is not None:
            self.post_message(self.Opened(int(message.option_id)))

    @on(RenameWanted)
    def _rename(self, message: RenameWanted) -> None:
        def rename(title: str | None) -> None:
            if title and self._talk is not None:
                with telling(self):
                    self._talk.rename(message.id, title)
                self.relist()

        question = AskScreen("The title of this chat", self._title(message.id))
        self.app.push_screen(question, rename)

    @on(DeleteWanted)
    def _delete(self, message: DeleteWanted) -> None:
        if self._talk is None:
            return
        if self._talk.id == message.id:
            self.post_message(self.CurrentGone())
        title = self._title(message.id)
        with telling(self):
            self._talk.delete(message.id)
            self.notify(f"Deleted “{clean(title)}”. u brings it back.", markup=False)
        self.relist()

    @on(UndoWanted)
    def _undo(self) -> None:
        with telling(self):
            if self._talk is not None and not self._talk.undelete():
                self.notify("Nothing was deleted.", markup=False)
        self.relist()
        self.take_keys()

    def _title(self, chat_id: int) -> str:
        return next((heading.title for heading in self._headings if heading.id == chat_id), "")


def _option(heading: Heading, current: int | None, now: float) -> Option:
    mark = "▸ " if heading.id == current else "  "
    remarks = [words.ago(heading.when, now), clean(heading.model)]
    parts: list[Content | str | tuple[str, str]] = [mark, clean(heading.title) or "untitled"]
    parts += ["\n  ", (" · ".join(remark for remark in remarks if remark), "$foreground 60%")]
    if heading.found:
        parts += ["\n  ", (clean(heading.found), "italic $foreground 60%")]
    return Option(Content.assemble(*parts), id=str(heading.id))
