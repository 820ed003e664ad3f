"""The history of conversations, in SQLite. Nothing said is ever overwritten.

Messages form a tree: an edit or a second answer is a sibling, and the conversation remembers which branch
is on show by its last message.
"""

import sqlite3
import time
from collections.abc import Mapping

from backend.chat import export, reply, rows, search, tree
from backend.chat.records import Conversation, Hit, Message
from backend.chat.reply import ReplyWriter
from backend.chat.wire import ChatMessage
from backend.database import Database
from backend.errors import SternaError
from backend.processes import this_process

_DAY = 86_400


class ChatStore:
    """Conversations and their message trees. Quick enough to call from a user interface.

    All methods raise SternaError: not_found for an id that is gone; disk_full, read_only, busy or corrupt
    from the database. Text is kept as given: clean what comes from outside before.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hidden: set[int] = set()
        with database.writing() as connection:
            reply.recover(connection)
            # What was deleted in a program that never closed; younger ones may be another's to undo.
            connection.execute("DELETE FROM conversations WHERE deleted < ?", (time.time() - _DAY,))

    # --- conversations -------------------------------------------------------------------------

    def create(self, *, model: str = "", system: str = "", title: str = "") -> Conversation:
        """Begin a conversation. An empty title is filled from its first user message."""
        now = time.time()
        with self._database.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO conversations (title, model, system, created, updated) VALUES (?,?,?,?,?)",
                (rows.storable(title), rows.storable(model), rows.storable(system), now, now),
            )
            return _conversation(connection, cursor.lastrowid or 0)

    def get(self, conversation_id: int) -> Conversation:
        """Return one conversation."""
        with self._database.reading() as connection:
            return _conversation(connection, conversation_id)

    def conversations(self, *, limit: int = 200, offset: int = 0) -> list[Conversation]:
        """Return conversations, pinned ones first, then the latest first."""
        with self._database.reading() as connection:
            found = connection.execute(
                f"{rows.CONVERSATION} WHERE c.deleted IS NULL "
                "ORDER BY c.pinned DESC, c.updated DESC, c.id DESC LIMIT ? OFFSET ?",
                (limit, offset),
            )
            return [rows.conversation(row) for row in found]

    def rename(self, conversation_id: int, title: str) -> Conversation:
        """Give it another title."""
        return self._set(conversation_id, "title", rows.storable(title.strip()))

    def pin(self, conversation_id: int, pinned: bool) -> Conversation:
        """Keep it at the top of the list, or not."""
        return self._set(conversation_id, "pinned", int(pinned))

    def set_system(self, conversation_id: int, system: str) -> Conversation:
        """Change the system prompt for what is said from now on."""
        return self._set(conversation_id, "system", rows.storable(system))

    def set_model(self, conversation_id: int, model: str) -> Conversation:
        """Note which model it goes on with."""
        return self._set(conversation_id, "model", rows.storable(model))

    def delete(self, conversation_id: int) -> None:
        """Hide a conversation; `undelete` brings it back until the store is closed."""
        with self._database.writing() as connection:
            _conversation(connection, conversation_id)
            connection.execute(
                "UPDATE conversations SET deleted = ? WHERE id = ?", (time.time(), conversation_id)
            )
        self._hidden.add(conversation_id)

    def undelete(self, conversation_id: int) -> Conversation:
        """Bring back what `delete` hid."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE conversations SET deleted = NULL WHERE id = ?", (conversation_id,)
            )
            restored = _conversation(connection, conversation_id)
        self._hidden.discard(conversation_id)
        return restored

    # --- messages ------------------------------------------------------------------------------

    def add(
        self, conversation_id: int, role: str, content: str, *, parent_id: int | None = None
    ) -> Message:
        """Append to the branch on show (or to `parent_id`) and show it."""
        with self._database.writing() as connection:
            conversation = _conversation(connection, conversation_id)
            parent = conversation.leaf_id if parent_id is None else parent_id
            message_id = tree.insert(
                connection, conversation_id, parent, role, rows.storable(content)
            )
            if role == "user" and not conversation.title:
                connection.execute(
                    "UPDATE conversations SET title = ? WHERE id = ?",
                    (tree.title_from(rows.storable(content)), conversation_id),
                )
            return tree.load(connection, message_id)

    def edit(self, message_id: int, content: str) -> Message:
        """Add a sibling with other content and show it; the old branch stays."""
        with self._database.writing() as connection:
            old = tree.load(connection, message_id)
            new_id = tree.insert(
                connection,
                old.conversation_id,
                old.parent_id,
                old.role,
                rows.storable(content),
                model=old.model,
            )
            return tree.load(connection, new_id)

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
        with self._database.writing() as connection:
            conversation = _conversation(connection, conversation_id)
            parent = conversation.leaf_id if parent_id is None else parent_id
            message_id = tree.insert(
                connection,
                conversation_id,
                parent,
                "assistant",
                "",
                model=rows.storable(model),
                sampling=rows.dumped(sampling),
                writer=this_process(),
            )
            message = tree.load(connection, message_id)
            return ReplyWriter(self._database, message, conversation.leaf_id)

    def branch(self, conversation_id: int) -> list[Message]:
        """Return the messages of the branch on show, first to last."""
        with self._database.reading() as connection:
            conversation = _conversation(connection, conversation_id)
            return tree.branch(connection, conversation)

    def show(self, message_id: int) -> list[Message]:
        """Show the branch through `message_id`, down to its latest leaf, and return it."""
        with self._database.writing() as connection:
            message = tree.load(connection, message_id)
            leaf = tree.latest_leaf(connection, message)
            connection.execute(
                "UPDATE conversations SET leaf_id = ? WHERE id = ?", (leaf, message.conversation_id)
            )
            return tree.branch(connection, _conversation(connection, message.conversation_id))

    def prompt(self, conversation_id: int) -> list[ChatMessage]:
        """Return what is to be sent: system prompt and branch, less the turns the user dropped.

        A reply that never got a word (it failed) is left out: an empty turn only confuses a model.
        """
        with self._database.reading() as connection:
            conversation = _conversation(connection, conversation_id)
            sent = tree.from_start(tree.branch(connection, conversation), conversation.start_id)
        said = [message.as_chat() for message in sent if message.content]
        return [ChatMessage("system", conversation.system), *said] if conversation.system else said

    def drop_turns(self, conversation_id: int, turns: int) -> Conversation:
        """Leave the oldest `turns` more turns of the branch out of what is sent; 0 sends all again.

        A turn is a user message with what follows it. The messages themselves stay.
        """
        with self._database.reading() as connection:
            conversation = _conversation(connection, conversation_id)
            messages = tree.branch(connection, conversation)
        start = tree.start_after(messages, conversation.start_id, turns) if turns else None
        return self._set(conversation_id, "start_id", start)

    # --- finding and taking out ----------------------------------------------------------------

    def search(self, text: str, *, model: str = "", limit: int = 50) -> list[Hit]:
        """Return where all words of `text` occur (as beginnings of words), best first."""
        with self._database.reading() as connection:
            return search.find(connection, rows.storable(text), model, limit)

    def export_markdown(self, conversation_id: int) -> str:
        """Return the branch on show as Markdown."""
        return export.markdown(self.get(conversation_id), self.branch(conversation_id))

    def export_json(self, conversation_id: int) -> str:
        """Return the whole tree as JSON."""
        with self._database.reading() as connection:
            conversation = _conversation(connection, conversation_id)
            return export.as_json(conversation, tree.everything(connection, conversation_id))

    def close(self) -> None:
        """Forget what was deleted, without a trace. The database stays open: it is the caller's."""
        if not self._hidden:
            return
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM conversations WHERE id = ? AND deleted IS NOT NULL",
                [(conversation_id,) for conversation_id in self._hidden],
            )
            # A search index keeps the words of what is gone until its parts are merged.
            connection.execute("INSERT INTO messages_found (messages_found) VALUES ('optimize')")
            connection.execute("INSERT INTO titles_found (titles_found) VALUES ('optimize')")
        with self._database.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._hidden.clear()

    def _set(self, conversation_id: int, column: str, value: str | int | None) -> Conversation:
        with self._database.writing() as connection:
            _conversation(connection, conversation_id)
            connection.execute(
                f"UPDATE conversations SET {column} = ? WHERE id = ?", (value, conversation_id)
            )
            return _conversation(connection, conversation_id)


def _conversation(connection: sqlite3.Connection, conversation_id: int) -> Conversation:
    row = connection.execute(
        f"{rows.CONVERSATION} WHERE c.id = ? AND c.deleted IS NULL", (conversation_id,)
    ).fetchone()
    if row is None:
        raise SternaError("not_found", "This conversation is gone.", "Choose another one.")
    return rows.conversation(row)
