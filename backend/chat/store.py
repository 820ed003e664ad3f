"""The history of conversations, in SQLite. Nothing said is ever overwritten."""

from collections.abc import Mapping

from backend.chat.records import Conversation, Hit, Message
from backend.chat.wire import ChatMessage
from backend.database import Database


class ReplyWriter:
    """A reply while it is being written; what came is on disk within half a second.

    Use `push` for each piece, then one `finish`. `message` is the record as it is now.
    """

    message: Message

    def push(self, text: str, reasoning: str = "") -> None:
        """Add a piece."""
        raise NotImplementedError

    def finish(
        self, reason: str, *, stats: Mapping[str, object] | None = None, seed: int | None = None
    ) -> Message:
        """Write the rest and how it ended (stop, length, cancelled, error)."""
        raise NotImplementedError


class ChatStore:
    """Conversations and their message trees. Quick enough to call from a user interface.

    All methods raise SternaError: not_found for an id that is gone; disk_full, read_only, busy or corrupt
    from the database.
    """

    def __init__(self, database: Database) -> None:
        raise NotImplementedError

    # conversations
    def create(self, *, model: str = "", system: str = "", title: str = "") -> Conversation:
        """Begin a conversation. An empty title is filled from its first user message."""
        raise NotImplementedError

    def get(self, conversation_id: int) -> Conversation:
        raise NotImplementedError

    def conversations(self, *, limit: int = 200, offset: int = 0) -> list[Conversation]:
        """Return conversations, pinned ones first, then the latest first."""
        raise NotImplementedError

    def rename(self, conversation_id: int, title: str) -> Conversation:
        raise NotImplementedError

    def pin(self, conversation_id: int, pinned: bool) -> Conversation:
        raise NotImplementedError

    def set_system(self, conversation_id: int, system: str) -> Conversation:
        raise NotImplementedError

    def set_model(self, conversation_id: int, model: str) -> Conversation:
        raise NotImplementedError

    def delete(self, conversation_id: int) -> None:
        """Hide a conversation; `undelete` brings it back until the store is closed."""
        raise NotImplementedError

    def undelete(self, conversation_id: int) -> Conversation:
        raise NotImplementedError

    # messages
    def add(
        self, conversation_id: int, role: str, content: str, *, parent_id: int | None = None
    ) -> Message:
        """Append to the branch on show (or to `parent_id`) and show it."""
        raise NotImplementedError

    def edit(self, message_id: int, content: str) -> Message:
        """Add a sibling with other content and show it; the old branch stays."""
        raise NotImplementedError

    def begin_reply(
        self,
        conversation_id: int,
        *,
        parent_id: int | None = None,
        model: str = "",
        sampling: Mapping[str, object] | None = None,
    ) -> ReplyWriter:
        """Begin an assistant message after `parent_id` (default: the last one on show) and show it.

        A second reply to the same parent is its sibling: that is how "again" works.
        """
        raise NotImplementedError

    def branch(self, conversation_id: int) -> list[Message]:
        """Return the messages of the branch on show, first to last."""
        raise NotImplementedError

    def show(self, message_id: int) -> list[Message]:
        """Show the branch through `message_id`, down to its latest leaf, and return it."""
        raise NotImplementedError

    def prompt(self, conversation_id: int) -> list[ChatMessage]:
        """Return what is to be sent: system prompt and branch, less the turns the user dropped."""
        raise NotImplementedError

    def drop_turns(self, conversation_id: int, turns: int) -> Conversation:
        """Leave the oldest `turns` more turns of the branch out of what is sent; 0 sends all again.

        The messages themselves stay.
        """
        raise NotImplementedError

    # finding and taking out
    def search(self, text: str, *, model: str = "", limit: int = 50) -> list[Hit]:
        """Return where all words of `text` occur (as beginnings of words), best first."""
        raise NotImplementedError

    def export_markdown(self, conversation_id: int) -> str:
        """Return the branch on show as Markdown."""
        raise NotImplementedError

    def export_json(self, conversation_id: int) -> str:
        """Return the whole tree as JSON."""
        raise NotImplementedError

    def close(self) -> None:
        """Forget what was deleted."""
        raise NotImplementedError
