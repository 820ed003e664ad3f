"""The conversation on screen: what was said, what is sent, what it costs. No widgets here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.chat.store import ChatStore
from backend.chat.wire import ChatMessage, Done
from tui.widgets.turns import Stats, Turn

if TYPE_CHECKING:
    from backend.chat.records import Conversation, Message
    from backend.chat.reply import ReplyWriter


@dataclass(frozen=True, slots=True)
class Heading:
    """A conversation in a list. `when` is in seconds since 1970."""

    id: int
    title: str
    model: str
    when: float
    found: str = ""  # where a search found it


class Talk:
    """One conversation at a time. It is stored from its first message on, not before."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store
        self.conversation: Conversation | None = None
        self._deleted: list[int] = []

    # The conversation

    def open(self, conversation_id: int | None) -> None:
        """Go on with a conversation; `None` begins a new one. Raises SternaError(not_found)."""
        self.conversation = None if conversation_id is None else self._store.get(conversation_id)

    @property
    def id(self) -> int | None:
        """Its number, once something was said."""
        return self.conversation.id if self.conversation else None

    @property
    def model(self) -> str:
        """The model it was begun with."""
        return self.conversation.model if self.conversation else ""

    def turns(self) -> list[Turn]:
        """Return its messages on the branch that is shown."""
        if self.conversation is None:
            return []
        branch = self._store.branch(self.conversation.id)
        start = self.conversation.start_id
        places = [place for place, message in enumerate(branch) if message.id == start]
        first_sent = places[0] if places else 0
        return [turn_of(message, sent=place >= first_sent) for place, message in enumerate(branch)]

    def prompt(self, draft: str = "") -> list[ChatMessage]:
        """Return what would be sent, with `draft` as the next message."""
        said = self._store.prompt(self.conversation.id) if self.conversation else []
        return [*said, ChatMessage("user", draft)] if draft else said

    @property
    def answered(self) -> bool:
        """Whether the last message is a reply."""
        turns = self.turns()
        return bool(turns) and turns[-1].role == "assistant"

    def asked(self) -> list[ChatMessage]:
        """Return what is sent for a reply: all up to the last message of the person."""
        prompt = self.prompt()
        return prompt[:-1] if prompt and prompt[-1].role == "assistant" else prompt

    # What is said

    def say(self, text: str, model: str, system: str = "") -> Turn:
        """Add a message of the person."""
        if self.conversation is None:
            self.conversation = self._store.create(model=model, system=system)
        message = self._store.add(self.conversation.id, "user", text)
        self._refresh()
        return turn_of(message)

    def edit(self, message_id: int, text: str) -> None:
        """Say it differently: a new branch beside the old one."""
        self._store.edit(message_id, text)
        self._refresh()

    def switch(self, turn: Turn, step: int) -> bool:
        """Show the next version of a message, or of the one before; false when there is none."""
        place = turn.versions.index(turn.id) + step if turn.id in turn.versions else -1
        if not 0 <= place < len(turn.versions):
            return False
        self._store.show(turn.versions[place])
        self._refresh()
        return True

    def leave_out(self, turns: int) -> None:
        """Send the oldest `turns` turns no more; they stay in the conversation."""
        assert self.conversation is not None
        self.conversation = self._store.drop_turns(self.conversation.id, turns)

    def answer(self, model: str) -> tuple[ReplyWriter, Turn]:
        """Begin a reply to what the person said last; beside an earlier reply, if there is one."""
        assert self.conversation is not None
        last = self._store.branch(self.conversation.id)[-1]
        parent = last.parent_id if last.role == "assistant" else last.id
        writer = self._store.begin_reply(self.conversation.id, parent_id=parent, model=model)
        self._refresh()
        return writer, turn_of(writer.message)

    def _refresh(self) -> None:
        assert self.conversation is not None
        self.conversation = self._store.get(self.conversation.id)

    # All conversations

    def headings(self, search: str = "") -> list[Heading]:
        """Return the kept conversations, latest first, or those in which `search` is said."""
        if not search.strip():
            return [_heading(conversation) for conversation in self._store.conversations()]
        found: dict[int, Heading] = {}
        for hit in self._store.search(search):
            snippet = hit.snippet.replace("\x02", "").replace("\x03", "")
            found.setdefault(hit.conversation.id, _heading(hit.conversation, snippet))
        return list(found.values())

    def rename(self, conversation_id: int, title: str) -> None:
        """Give a conversation another title."""
        self._store.rename(conversation_id, title)
        if self.conversation and self.conversation.id == conversation_id:
            self._refresh()

    def delete(self, conversation_id: int) -> None:
        """Delete a conversation; `undelete` brings the last one back."""
        self._store.delete(conversation_id)
        self._deleted.append(conversation_id)
        if self.conversation and self.conversation.id == conversation_id:
            self.conversation = None

    def undelete(self) -> bool:
        """Bring back what was deleted last; false when there is nothing."""
        if not self._deleted:
            return False
        self._store.undelete(self._deleted.pop())
        return True


def _heading(conversation: Conversation, found: str = "") -> Heading:
    return Heading(
        conversation.id, conversation.title, conversation.model, conversation.updated, found
    )


def turn_of(message: Message, *, sent: bool = True) -> Turn:
    """Return a stored message as the screen shows it."""
    stats = None
    if message.role == "assistant":
        stats = Stats.from_record(message.model, message.stats, message.finish_reason)
    return Turn(
        message.id,
        message.role,
        message.content,
        reasoning=message.reasoning,
        stats=stats,
        sent=sent,
        versions=message.siblings,
    )


def record_of(done: Done) -> dict[str, object]:
    """Return what a reply cost, as it is stored with it."""
    usage, timings = done.usage, done.timings
    record = {
        "tokens": usage.completion_tokens,
        "per_second": timings.decode_per_second,
        "first_token": timings.first_token_s,
        "prompt_tokens": usage.prompt_tokens,
        "prompt_per_second": timings.prompt_per_second,
        "cached": usage.cached_tokens,
    }
    return {key: value for key, value in record.items() if value is not None}
