"""Mode 3, Chat: a conversation, a line to write in, and the chats that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Markdown, Static, TextArea

from backend.chat.wire import ChatMessage
from backend.errors import SternaError
from backend.text import clean
from tui.answering import Answer, sampling_of
from tui.engine import EngineKeeper
from tui.messages import ModelWanted, ModeWanted, NewChat
from tui.panes.composer import Composer
from tui.panes.conversations import Conversations
from tui.panes.greeting import greeting, ways_on, ways_out
from tui.panes.transcript import Transcript
from tui.screens.chat_keys import KEYS
from tui.screens.frame import ModeScreen
from tui.sources import Sources
from tui.state import Engine, Phase
from tui.talk import Talk
from tui.telling import telling
from tui.widgets import meter
from tui.widgets.memory_line import MemoryLine
from tui.widgets.notice import Notice
from tui.widgets.turns import ReplyView, Turn

if TYPE_CHECKING:
    from backend.chat.budget import DropPlan
    from backend.settings import Chat

COUNT_DELAY = 0.4  # seconds after the last key before a draft is counted


class ChatScreen(ModeScreen):
    """One conversation at a time. Its state is in `Talk`, the engine's in the keeper."""

    MODE = "chat"
    HELP = "A conversation with the model in memory, kept on this computer and nowhere else."
    CSS_PATH = "chat.tcss"
    AUTO_FOCUS = ""  # without a model there is nothing to write to, and keys stay keys
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, sources: Sources, keeper: EngineKeeper) -> None:
        super().__init__()
        self._sources = sources
        self._keeper = keeper
        self._talk: Talk
        self._answer: Answer | None = None
        self._waiting = False  # what the person said waits for the engine
        self._editing: Turn | None = None
        self._plan: DropPlan | None = None
        self._seen = Phase.NONE
        self._counting: Timer | None = None
        self._used: int | None = None
        self._draft: int | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="body"):
            yield Conversations(self._sources.now)
            with Vertical(id="talk"):
                yield Static(id="welcome", markup=False)
                yield Transcript()
                yield Notice(markup=False)
                yield Composer()
                yield MemoryLine()

    async def on_mount(self) -> None:
        store, notices = await asyncio.to_thread(self._sources.history)
        self._talk = Talk(store)
        for notice in notices:
            self.notify(clean(notice), severity="warning", timeout=20, markup=False)
        self.query_one(Conversations).attach(self._talk)
        await self._show_talk()
        self.watch(self.app, "engine", self._engine_changed)
        if self._engine.phase is not Phase.NONE:
            self.query_one(Composer).focus()

    def on_unmount(self) -> None:
        if self._answer is not None:
            self._answer.stop()

    # The engine

    @property
    def _engine(self) -> Engine:
        return self._keeper.engine

    def _engine_changed(self, engine: Engine) -> None:
        notice = self.query_one(Notice)
        if engine.phase is Phase.LOADING:
            waits = " Your message goes out when it is ready." if self._waiting else ""
            what = engine.detail or f"loading {clean(engine.name)}"
            notice.tell(f"◐ {what}…{waits}", about="engine")
        elif engine.phase is Phase.FAILED and engine.error is not None:
            notice.fail(engine.error, "\n".join(ways_on(engine.error)), about="engine")
        elif engine.phase is Phase.READY and self._seen is not Phase.READY:
            notice.hide(about="engine")
            self._count_soon(delay=0)
            if self._waiting:
                self._answer_again()
        self._seen = engine.phase
        self._show_surroundings()

    # What is shown

    async def _show_talk(self) -> None:
        """Show the conversation from its end."""
        turns = self._talk.turns()
        self._used = self._draft = self._plan = None
        await self.query_one(Transcript).show(turns)
        self._count_soon(delay=0)
        self._show_surroundings()

    def _show_surroundings(self) -> None:
        """Show what stands around the conversation: greeting, meter, keys."""
        transcript, welcome = self.query_one(Transcript), self.query_one("#welcome", Static)
        transcript.display = bool(transcript.views)
        welcome.display = not transcript.display
        welcome.update(greeting(self._engine))
        composer = self.query_one(Composer)
        composer.border_title = meter.context(self._used, self._engine.context, self._draft)
        composer.placeholder = "Edit your message" if self._editing else "Write a message"
        self.refresh_bindings()

    # Counting

    @on(TextArea.Changed)
    def _draft_changed(self) -> None:
        self._count_soon()

    def _count_soon(self, delay: float = COUNT_DELAY) -> None:
        if self._counting is not None:
            self._counting.stop()
        self._counting = self.set_timer(delay or 0.001, self._count)

    @work(exclusive=True, group="count", exit_on_error=False)
    async def _count(self) -> None:
        """Count what is said and what is being written, exactly, by the engine's own tokenizer."""
        client = self._keeper.client
        if client is None or self._answer is not None:
            return
        draft = self.query_one(Composer).text.strip()
        said = self._talk.prompt()
        try:
            used = await client.count(said) if said else None
            whole = await client.count(self._talk.prompt(draft)) if draft else None
        except SternaError:
            return  # the meter then shows what it knew; sending checks again and says why
        self._used = used.tokens if used else 0
        self._draft = whole.tokens - self._used if whole else None
        self._keeper.used(self._used)
        self._show_surroundings()

    # Saying something

    @on(Composer.Sent)
    def _sent(self, message: Composer.Sent) -> None:
        if self._answer is not None:
            self.notify("A reply is being written: esc stops it.", markup=False)
        elif self._engine.phase is Phase.NONE:
            self.notify("No model is loaded: ctrl+g shows the models.", markup=False)
        else:
            self._say(message.text.strip())

    @work(exclusive=True, group="reply", exit_on_error=False)
    async def _say(self, text: str) -> None:
        """Keep what the person said and let the model answer, if it all fits."""
        if self._editing is not None:
            self._talk.edit(self._editing.id, text)
            await self._show_talk()
        elif await self._fits(self._talk.prompt(text)):
            await self.query_one(Transcript).add(
                self._talk.say(text, self._model, self._wishes().system)
            )
        else:
            return
        self._editing = None
        self.query_one(Composer).clear()
        self._show_surroundings()
        await self._reply()

    @work(exclusive=True, group="reply", exit_on_error=False)
    async def _answer_again(self) -> None:
        if self._talk.answered:
            await self.query_one(Transcript).remove_last()
        await self._reply()

    async def _reply(self) -> None:
        """Let the model answer what was said last, as soon as there is a model."""
        client = self._keeper.client
        self._waiting = client is None
        if client is None:
            self._engine_changed(self._engine)
            return
        asked = self._talk.asked()
        if not await self._fits(asked):
            return
        writer, turn = self._talk.answer(self._model)
        view = await self.query_one(Transcript).add(turn)
        assert isinstance(view, ReplyView)
        view.tell("reading what was said…")
        self._answer = Answer(client, asked, sampling_of(self._wishes()), writer, view)
        self._keeper.answering(True)
        try:
            await self._answer.run()
        except SternaError as error:
            if self._engine.usable:  # else the engine's own end says more
                self.query_one(Notice).fail(error, "ctrl+r  answer again")
        finally:
            self._answer = None
            self._keeper.answering(False)
            self.refresh_bindings()
            self.query_one(Conversations).relist()
            self._count_soon(delay=0)

    async def _fits(self, prompt: Sequence[ChatMessage]) -> bool:
        """Check a prompt against the context; when it is full, say so with the ways out."""
        from backend.chat.budget import ContextFull, check

        self._plan = None
        notice = self.query_one(Notice)
        if self._keeper.client is None:
            return True  # it is checked again when the engine is ready
        try:
            await check(self._keeper.client, prompt)
        except ContextFull as full:
            self._plan = full.plan
            notice.fail(full, "\n".join(ways_out(full.plan)))
        except SternaError as error:
            notice.fail(error)
        else:
            notice.hide()
            return True
        self.refresh_bindings()
        return False

    def _wishes(self) -> Chat:
        """Return how answers are made, by the settings as they are now."""
        from backend.settings import Chat

        try:
            return self._sources.settings().chat
        except SternaError:
            return Chat()  # the complaint was shown at the start

    @property
    def _model(self) -> str:
        return f"{self._engine.name} {self._engine.quant}".strip()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell which keys do something now."""
        if action == "stop":
            return self._answer is not None
        if action == "leave_out":
            return self._plan is not None
        if action == "again":
            return self._answer is None and (bool(self._talk.id) or self._engine.path is not None)
        return True

    def action_stop(self) -> None:
        """Stop the reply at once."""
        if self._answer is not None:
            self._answer.stop()

    def action_step_back(self) -> None:
        """Step back: from an edit, the list of chats, the message, the conversation."""
        composer, transcript = self.query_one(Composer), self.query_one(Transcript)
        if self._editing is not None:
            self._editing = None
            composer.clear()
            self._show_surroundings()
        elif self.has_class("-chats-open"):
            self.action_chats()
        elif composer.has_focus and transcript.display:
            transcript.focus()
        else:
            self.post_message(ModeWanted("models"))

    def action_models(self) -> None:
        """Choose another model."""
        self.post_message(ModeWanted("models"))

    def action_write(self) -> None:
        """Write a message."""
        self.query_one(Composer).focus()

    def action_again(self) -> None:
        """Start the engine again if it has ended, load the chat's model, or answer again."""
        if self._engine.phase is Phase.NONE:
            self.post_message(ModelWanted(self._talk.model))
        elif not self._engine.usable:
            self._keeper.restart()
        elif self._talk.id is not None:
            self._answer_again()

    @work(exclusive=True, group="reply", exit_on_error=False)
    async def action_leave_out(self) -> None:
        """Send the oldest turns no more, and go on."""
        if self._plan is None:
            return
        self._talk.leave_out(self._plan.turns)
        await self._show_talk()
        if draft := self.query_one(Composer).text.strip():
            self._say(draft)
        else:
            await self._reply()

    @on(Composer.EditLast)
    def action_edit_last(self) -> None:
        """Edit the last message of the person."""
        with telling(self):
            mine = [turn for turn in self._talk.turns() if turn.role == "user"]
            if mine:
                self._edit(mine[-1])

    @on(Transcript.EditWanted)
    def _edit_wanted(self, message: Transcript.EditWanted) -> None:
        self._edit(message.turn)

    def _edit(self, turn: Turn) -> None:
        if self._answer is not None:
            self.notify("A reply is being written: esc stops it.", markup=False)
            return
        self._editing = turn
        composer = self.query_one(Composer)
        composer.load_text(clean(turn.text, newlines=True))
        composer.move_cursor(composer.document.end)
        composer.focus()
        self._show_surroundings()

    @on(Transcript.VersionWanted)
    @work(exclusive=True, group="reply", exit_on_error=False)
    async def _version_wanted(self, message: Transcript.VersionWanted) -> None:
        if self._answer is None and self._talk.switch(message.turn, message.step):
            await self._show_talk()
            self.query_one(Transcript).choose_place(message.place)

    @on(Transcript.CopyWanted)
    def _copy_wanted(self, message: Transcript.CopyWanted) -> None:
        self.app.copy_to_clipboard(message.text)
        self.notify("Copied, if the terminal lets programs copy.", markup=False)

    @on(Markdown.LinkClicked)
    def _link_clicked(self, message: Markdown.LinkClicked) -> None:
        """Never open what a model wrote: show where it leads."""
        self.app.copy_to_clipboard(message.href)
        self.notify(f"Copied: {clean(message.href)}", markup=False)

    # Chats that are kept

    @on(NewChat)
    def action_new(self) -> None:
        """Begin a new chat."""
        self._talk_to(None)

    @on(Conversations.Opened)
    def _chat_opened(self, message: Conversations.Opened) -> None:
        self._talk_to(message.id)

    @work(exclusive=True, group="reply", exit_on_error=False)
    async def _talk_to(self, conversation_id: int | None) -> None:
        """Go on with a conversation, or begin one. A reply that is being written is stopped."""
        try:
            self._talk.open(conversation_id)
        except SternaError as error:
            self.query_one(Notice).fail(error)
            return
        self._editing = None
        self.remove_class("-chats-open")
        await self._show_talk()
        self.query_one(Conversations).relist()
        self.query_one(Composer).focus()
        if self._engine.phase is Phase.NONE and self._talk.model:
            said = f"This chat was with {clean(self._talk.model)}: ctrl+r loads it."
            self.query_one(Notice).tell(said, about="engine")

    def action_chats(self) -> None:
        """Open the list of chats, or close it."""
        if self.toggle_class("-chats-open").has_class("-chats-open"):
            self.query_one(Conversations).relist()
            self.query_one(Conversations).take_keys()
        else:
            self.query_one(Composer).focus()

    @on(Conversations.CurrentGone)
    def _current_gone(self) -> None:
        self._talk_to(None)
