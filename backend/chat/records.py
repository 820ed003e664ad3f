"""What the history keeps."""

from dataclasses import dataclass, field

from backend.chat.wire import ChatMessage


@dataclass(frozen=True, slots=True)
class Message:
    """One node of a conversation's tree.

    `parent_id` None: a first message. `siblings` lists the ids of all versions at this place, this one
    included, oldest first: `(3, 7)` with id 7 is "2/2". `finish_reason` is None while the reply is being
    written, then stop, length, cancelled, error or interrupted (the program ended in between).
    `sampling` and `stats` are plain JSON objects. Times are seconds since 1970, UTC.
    """

    id: int
    conversation_id: int
    parent_id: int | None
    role: str
    content: str
    reasoning: str = ""
    model: str = ""
    sampling: dict[str, object] = field(default_factory=dict)
    seed: int | None = None
    stats: dict[str, object] = field(default_factory=dict)
    finish_reason: str | None = None
    created: float = 0.0
    siblings: tuple[int, ...] = ()

    def as_chat(self) -> ChatMessage:
        """Return the message as an endpoint takes it (the reasoning stays here)."""
        return ChatMessage(self.role, self.content)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its messages.

    `system` is its system prompt; `leaf_id` the last message of the branch on show; `start_id` the first
    message still sent to the model when the user chose to drop older turns, else None.
    """

    id: int
    title: str
    model: str
    system: str
    pinned: bool
    created: float
    updated: float
    leaf_id: int | None = None
    start_id: int | None = None
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """One finding of a search: where, and a snippet with the matches between U+0002 and U+0003.

    `message_id` is None when the title matched.
    """

    conversation: Conversation
    message_id: int | None
    role: str
    snippet: str
