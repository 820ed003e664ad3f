"""The message tree of a conversation, as queries. Every function runs in its caller's transaction."""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence

from backend.chat import rows
from backend.chat.records import Conversation, Message
from backend.errors import SternaError
from backend.text import clean

TITLE_LENGTH = 60

_BRANCH = """
WITH RECURSIVE up (id, parent_id, depth) AS (
  SELECT id, parent_id, 0 FROM messages WHERE id = ?
  UNION ALL
  SELECT m.id, m.parent_id, up.depth + 1 FROM messages m JOIN up ON m.id = up.parent_id
)
SELECT m.* FROM up JOIN messages m ON m.id = up.id ORDER BY up.depth DESC
"""

# Ids grow with time and a child is younger than its parent, so the youngest descendant is a leaf.
_YOUNGEST = """
WITH RECURSIVE down (id) AS (
  SELECT ? UNION ALL SELECT m.id FROM messages m JOIN down ON m.parent_id = down.id
)
SELECT max(id) FROM down
"""


def insert(
    connection: sqlite3.Connection,
    conversation_id: int,
    parent_id: int | None,
    role: str,
    content: str,
    *,
    model: str = "",
    sampling: str = "{}",
    writer: str | None = None,
) -> int:
    """Add a message and show it; return its id. With a `writer` it is still being written."""
    if parent_id is not None and load(connection, parent_id).conversation_id != conversation_id:
        raise SternaError("bad_argument", "The parent belongs to another conversation.")
    now = time.time()
    cursor = connection.execute(
        "INSERT INTO messages (conversation_id, parent_id, role, content, model, sampling, "
        "finish_reason, writer, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            conversation_id,
            parent_id,
            role,
            content,
            model,
            sampling,
            None if writer else "stop",
            writer,
            now,
        ),
    )
    connection.execute(
        "UPDATE conversations SET leaf_id = ?, updated = ? WHERE id = ?",
        (cursor.lastrowid, now, conversation_id),
    )
    return cursor.lastrowid or 0


def load(connection: sqlite3.Connection, message_id: int) -> Message:
    """Return one message with its siblings."""
    row = connection.execute(
        "SELECT m.* FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "WHERE m.id = ? AND c.deleted IS NULL",
        (message_id,),
    ).fetchone()
    if row is None:
        raise SternaError("not_found", "This message is gone.", "Open the conversation again.")
    siblings = connection.execute(
        "SELECT id FROM messages WHERE conversation_id = ? AND parent_id IS ? ORDER BY id",
        (row["conversation_id"], row["parent_id"]),
    )
    return rows.message(row, tuple(sibling[0] for sibling in siblings))


def branch(connection: sqlite3.Connection, conversation: Conversation) -> list[Message]:
    """Return the branch on show, first message to last."""
    families = _families(connection, conversation.id)
    found = connection.execute(_BRANCH, (conversation.leaf_id,))
    return [rows.message(row, families[row["parent_id"]]) for row in found]


def everything(connection: sqlite3.Connection, conversation_id: int) -> list[Message]:
    """Return all messages of a conversation, oldest first."""
    families = _families(connection, conversation_id)
    found = connection.execute(
        "SELECT * FROM messages WHERE conversation_id = ? ORDER BY id", (conversation_id,)
    )
    return [rows.message(row, families[row["parent_id"]]) for row in found]


def latest_leaf(connection: sqlite3.Connection, message: Message) -> int:
    """Return the id of the leaf below `message` that was written last."""
    return int(connection.execute(_YOUNGEST, (message.id,)).fetchone()[0])


def from_start(messages: Sequence[Message], start_id: int | None) -> Sequence[Message]:
    """Return the part of a branch that is sent. A start on another branch counts for nothing."""
    at = next((i for i, message in enumerate(messages) if message.id == start_id), 0)
    return messages[at:]


def start_after(messages: Sequence[Message], start_id: int | None, turns: int) -> int | None:
    """Return the id at which to start so that `turns` more turns are left out."""
    sent = from_start(messages, start_id)
    opens = [message.id for message in sent if message.role == "user"]
    if turns >= len(opens):
        raise SternaError(
            "bad_argument",
            f"Only {max(0, len(opens) - 1)} older turns can be left out.",
            "The last message has to be sent.",
        )
    return opens[turns]


def title_from(content: str) -> str:
    """Return a title: the first line of what was asked, cut at a word."""
    line = clean(next((line for line in content.splitlines() if line.strip()), "")).strip()
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[:TITLE_LENGTH]
    return (cut.rsplit(" ", 1)[0] if " " in cut[TITLE_LENGTH // 2 :] else cut) + "…"


def _families(
    connection: sqlite3.Connection, conversation_id: int
) -> dict[int | None, tuple[int, ...]]:
    families: dict[int | None, list[int]] = defaultdict(list)
    for message_id, parent_id in connection.execute(
        "SELECT id, parent_id FROM messages WHERE conversation_id = ? ORDER BY id",
        (conversation_id,),
    ):
        families[parent_id].append(message_id)
    return {parent_id: tuple(ids) for parent_id, ids in families.items()}
