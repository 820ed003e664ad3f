"""Full-text search over the history."""

import re
import sqlite3
from typing import Any

from backend.chat import rows
from backend.chat.records import Hit

MARK_ON, MARK_OFF = "\x02", "\x03"

# Scripts written without spaces: the index takes a whole run of them for one word, so that words inside
# would not be found. They are looked for in the text itself.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)


def find(connection: sqlite3.Connection, text: str, model: str, limit: int) -> list[Hit]:
    """Return hits in titles and messages; every word of `text` must occur as the start of a word."""
    words = [word for word in text.replace("\0", " ").split() if any(map(str.isalnum, word))]
    if not words:
        return []
    if any(_UNSPACED.search(word) for word in words):
        return _scan(connection, words, model, limit)
    query = " ".join(
        '"' + word.replace('"', '""') + '"*' for word in words
    )  # no operators: all quoted
    marks = (MARK_ON, MARK_OFF)
    titles = connection.execute(
        "SELECT c.id, NULL, '', highlight(titles_found, 0, ?, ?) FROM titles_found "
        "JOIN conversations c ON c.id = titles_found.rowid WHERE titles_found MATCH ? "
        "AND c.deleted IS NULL AND (? = '' OR c.model = ?) ORDER BY rank LIMIT ?",
        (*marks, query, model, model, limit),
    ).fetchall()
    messages = connection.execute(
        "SELECT m.conversation_id, m.id, m.role, snippet(messages_found, 0, ?, ?, '…', 16) "
        "FROM messages_found JOIN messages m ON m.id = messages_found.rowid "
        "JOIN conversations c ON c.id = m.conversation_id WHERE messages_found MATCH ? "
        "AND c.deleted IS NULL AND (? = '' OR m.model = ? OR c.model = ?) ORDER BY rank LIMIT ?",
        (*marks, query, model, model, model, limit),
    ).fetchall()
    return _hits(connection, [tuple(row) for row in [*titles, *messages][:limit]])


def _scan(connection: sqlite3.Connection, words: list[str], model: str, limit: int) -> list[Hit]:
    everywhere = " AND ".join("instr(m.content, ?) > 0" for _ in words)
    titled = connection.execute(
        "SELECT c.id, NULL, '', c.title FROM conversations c WHERE c.deleted IS NULL "
        f"AND {everywhere.replace('m.content', 'c.title')} AND (? = '' OR c.model = ?) LIMIT ?",
        (*words, model, model, limit),
    ).fetchall()
    found = connection.execute(
        "SELECT m.conversation_id, m.id, m.role, m.content FROM messages m "
        "JOIN conversations c ON c.id = m.conversation_id WHERE c.deleted IS NULL "
        f"AND m.finish_reason IS NOT NULL AND {everywhere} "
        "AND (? = '' OR m.model = ? OR c.model = ?) ORDER BY m.id DESC LIMIT ?",
        (*words, model, model, model, limit),
    ).fetchall()
    cut = [(*row[:3], _cut(row[3], words[0])) for row in [*titled, *found]]
    return _hits(connection, cut[:limit])


def _cut(content: str, word: str, around: int = 40) -> str:
    at = content.find(word)
    before, after = content[max(0, at - around) : at], content[at + len(word) :][:around]
    return f"{'…' if at > around else ''}{before}{MARK_ON}{word}{MARK_OFF}{after}"


def _hits(connection: sqlite3.Connection, found: list[tuple[Any, ...]]) -> list[Hit]:
    hits = []
    for conversation_id, message_id, role, snippet in found:
        row = connection.execute(
            f"{rows.CONVERSATION} WHERE c.id = ?", (conversation_id,)
        ).fetchone()
        hits.append(Hit(rows.conversation(row), message_id, role, snippet))
    return hits
