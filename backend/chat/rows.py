"""Rows of the database as records."""

import json
import sqlite3
from collections.abc import Mapping

from backend.chat.records import Conversation, Message

CONVERSATION = (
    "SELECT c.id, c.title, c.model, c.system, c.pinned, c.created, c.updated, c.leaf_id, c.start_id, "
    "(SELECT count(*) FROM messages m WHERE m.conversation_id = c.id) AS messages FROM conversations c"
)


def conversation(row: sqlite3.Row) -> Conversation:
    """Return a row of `CONVERSATION` as a record."""
    return Conversation(
        id=row["id"],
        title=row["title"],
        model=row["model"],
        system=row["system"],
        pinned=bool(row["pinned"]),
        created=row["created"],
        updated=row["updated"],
        leaf_id=row["leaf_id"],
        start_id=row["start_id"],
        messages=row["messages"],
    )


def message(row: sqlite3.Row, siblings: tuple[int, ...] = ()) -> Message:
    """Return a whole row of `messages` as a record."""
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        parent_id=row["parent_id"],
        role=row["role"],
        content=row["content"],
        reasoning=row["reasoning"],
        model=row["model"],
        sampling=_loaded(row["sampling"]),
        seed=row["seed"],
        stats=_loaded(row["stats"]),
        finish_reason=row["finish_reason"],
        created=row["created"],
        siblings=siblings or (row["id"],),
    )


def dumped(value: Mapping[str, object] | None) -> str:
    """Return a JSON object for a column."""
    return json.dumps(dict(value or {}), ensure_ascii=False)


def storable(text: str) -> str:
    """Return `text` as UTF-8 can hold it: a lone surrogate would be refused by the database."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _loaded(text: str) -> dict[str, object]:
    # Statistics are an ornament: a value that another version wrote must not lose the message.
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
