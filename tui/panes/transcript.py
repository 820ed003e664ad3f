"""The conversation: messages from top to bottom, the newest in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static

from tui.widgets.turns import ReplyView, Turn, TurnView, UserView, view_of

SHOWN_AT_ONCE = 20
LOADED_MORE = 10


class Earlier(Static):
    """Stands for the messages above that are not on the screen yet."""


class Transcript(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Shows the last messages, more when scrolled to the top. The chosen one can be copied."""

    HELP = (
        "The conversation. The arrow keys choose a message; then copy it, or edit one of yours and "
        "send it again: the old version stays, left and right go from one to the other."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "copy", tooltip="Copy the chosen message", id="transcript.copy"),
        Binding(
            "enter",
            "edit",
            "edit",
            key_display="⏎",
            tooltip="Edit your message and send it again",
            id="transcript.edit",
        ),
        Binding(
            "enter",
            "unfold",
            "thought",
            key_display="⏎",
            tooltip="Show or hide what the model thought",
            id="transcript.unfold",
        ),
        Binding("left", "version(-1)", "Older version", show=False, id="transcript.older"),
        Binding("right", "version(1)", "Newer version", show=False, id="transcript.newer"),
        Binding("up,k", "choose(-1)", "Message up", show=False, id="transcript.up"),
        Binding("down,j", "choose(1)", "Message down", show=False, id="transcript.down"),
        Binding("pageup", "page_up", "Page up", show=False, id="transcript.page_up"),
        Binding("pagedown,space", "page_down", "Page down", show=False, id="transcript.page_down"),
        Binding("home", "scroll_home", "Oldest in sight", show=False, id="transcript.home"),
        Binding("end", "scroll_end", "Newest", show=False, id="transcript.end"),
    ]

    @dataclass
    class EditWanted(Message):
        """The person wants to say this differently."""

        turn: Turn

    @dataclass
    class CopyWanted(Message):
        """The person wants this text on the clipboard."""

        text: str

    @dataclass
    class VersionWanted(Message):
        """The person wants to see another version of this message at this place."""

        turn: Turn
        step: int
        place: int

    def __init__(self) -> None:
        super().__init__()
        self._earlier: list[Turn] = []
        self._chosen: TurnView | None = None
        self._loading_more = False

    @property
    def views(self) -> list[TurnView]:
        """The messages on the screen."""
        return [child for child in self.children if isinstance(child, TurnView)]

    async def show(self, turns: Sequence[Turn]) -> None:
        """Show a conversation from its end."""
        self._chosen = None
        self._earlier = list(turns[:-SHOWN_AT_ONCE])
        views = [view_of(turn) for turn in turns[-SHOWN_AT_ONCE:]]
        with self.app.batch_update():
            await self.remove_children()
            if self._earlier:
                await self.mount(Earlier(self._above(), markup=False))
            await self.mount_all(views)
        self.anchor()

    async def add(self, turn: Turn) -> TurnView:
        """Add a message at the end and bring it into sight."""
        view = view_of(turn)
        await self.mount(view)
        self.anchor()
        return view

    async def remove_last(self) -> None:
        """Take the newest message off the screen."""
        if self.views:
            await self.views[-1].remove()

    def choose_place(self, place: int) -> None:
        """Choose the message at this place on the screen."""
        if self.views:
            self._choose(self.views[min(place, len(self.views) - 1)])

    def on_focus(self, _event: events.Focus) -> None:
        if self._chosen is None or not self._chosen.is_attached:
            self._choose(self.views[-1] if self.views else None)
        else:
            self._choose(self._chosen)

    def on_blur(self, _event: events.Blur) -> None:
        for view in self.query(".-chosen").results(TurnView):
            view.remove_class("-chosen")

    def on_click(self, event: events.Click) -> None:
        """Choose the message under the pointer."""
        if event.widget is not None:
            for node in event.widget.ancestors_with_self:
                if isinstance(node, TurnView):
                    self._choose(node)

    def release_anchor(self) -> None:
        """Let go of the end only when there is something to scroll: a short talk stays in place."""
        if self.max_scroll_y > 0:
            super().release_anchor()

    def watch_scroll_y(self, old: float, new: float) -> None:
        """Load older messages when the top comes into sight."""
        super().watch_scroll_y(old, new)
        if new <= 0 < old and self._earlier and not self._loading_more:
            self._loading_more = True
            self.call_later(self._load_more)

    async def _load_more(self) -> None:
        batch, self._earlier = self._earlier[-LOADED_MORE:], self._earlier[:-LOADED_MORE]
        before = self.virtual_size.height
        note = self.query_one(Earlier)
        await self.mount_all([view_of(turn) for turn in batch], after=note)
        if self._earlier:
            note.update(self._above())
        else:
            await note.remove()
        self.call_after_refresh(self._stay, before)

    def _stay(self, before: int) -> None:
        self.scroll_to(y=self.virtual_size.height - before, animate=False, immediate=True)
        self._loading_more = False

    def _above(self) -> str:
        return f"↑ {len(self._earlier)} earlier messages"

    def _choose(self, view: TurnView | None) -> None:
        if self._chosen is not None:
            self._chosen.remove_class("-chosen")
        self._chosen = view
        if view is not None:
            view.add_class("-chosen")
            self.scroll_to_widget(view, animate=False)
        self.refresh_bindings()

    def action_choose(self, step: int) -> None:
        """Choose the next message up or down."""
        views = self.views
        if not views:
            return
        place = views.index(self._chosen) if self._chosen in views else len(views)
        if place + step < 0 and self._earlier:
            self.scroll_home(animate=False)
        self._choose(views[min(max(place + step, 0), len(views) - 1)])

    def action_copy(self) -> None:
        """Copy the chosen message."""
        if self._chosen is not None:
            self.post_message(self.CopyWanted(self._chosen.text))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell which keys do something with the chosen message."""
        chosen = self._chosen
        if action == "edit":
            return isinstance(chosen, UserView)
        if action == "unfold":
            return isinstance(chosen, ReplyView) and chosen.has_reasoning
        if action == "version":
            return chosen is not None and len(chosen.turn.versions) > 1
        return True

    def action_edit(self) -> None:
        """Edit the chosen message and send it again."""
        if isinstance(self._chosen, UserView):
            self.post_message(self.EditWanted(self._chosen.turn))

    def action_unfold(self) -> None:
        """Show or hide what the model thought before the chosen reply."""
        if isinstance(self._chosen, ReplyView):
            self._chosen.fold()

    def action_version(self, step: int) -> None:
        """Show an older or newer version of the chosen message."""
        if self._chosen in self.views:
            place = self.views.index(self._chosen)
            self.post_message(self.VersionWanted(self._chosen.turn, step, place))
