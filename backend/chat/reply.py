"""A reply while it is written: on disk soon enough that a crash costs less than a second of it."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace

from backend.chat import rows
from backend.chat.records import Message
from backend.database import Database
from backend.errors import SternaError
from backend.processes import lives

SAVE_EVERY_S = 0.5

_log = logging.getLogger(__name__)


class ReplyWriter:
    """A reply while it is being written; what came is on disk within half a second.

    Use `push` for each piece, then one `finish` (or `discard` when there is nothing to keep). `message` is
    the record as it is now. Without a running event loop every piece is saved at once.
    """

    def __init__(self, database: Database, message: Message, before: int | None) -> None:
        self._database = database
        self._before = before  # what was on show, to return to when the reply comes to nothing
        self._pieces: list[str] = []
        self._thoughts: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._saved_at = 0.0
        self._record = message
        self._open = True

    @property
    def message(self) -> Message:
        """The reply so far."""
        if self._pieces or self._thoughts:
            self._record = replace(
                self._record,
                content=self._record.content + "".join(self._pieces),
                reasoning=self._record.reasoning + "".join(self._thoughts),
            )
            self._pieces, self._thoughts = [], []
        return self._record

    def push(self, text: str, reasoning: str = "") -> None:
        """Add a piece. Raises SternaError when it cannot be saved; what came before stays."""
        if text:
            self._pieces.append(rows.storable(text))
        if reasoning:
            self._thoughts.append(rows.storable(reasoning))
        due = SAVE_EVERY_S - (time.monotonic() - self._saved_at)
        if due <= 0:
            self._save()
        elif self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._save()
            else:
                self._timer = loop.call_later(due, self._save_later)

    def finish(
        self, reason: str, *, stats: Mapping[str, object] | None = None, seed: int | None = None
    ) -> Message:
        """Write the rest and how it ended (stop, length, cancelled, error). Later calls do nothing."""
        if not self._open:
            return self._record
        self._stop_timer()
        message = replace(self.message, finish_reason=reason, stats=dict(stats or {}), seed=seed)
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE messages SET content = ?, reasoning = ?, finish_reason = ?, stats = ?, "
                "seed = ?, writer = NULL WHERE id = ?",
                (
                    message.content,
                    message.reasoning,
                    reason,
                    rows.dumped(stats),
                    seed,
                    message.id,
                ),
            )
            connection.execute(
                "UPDATE conversations SET updated = ? WHERE id = ?",
                (time.time(), message.conversation_id),
            )
        self._open = False
        self._record = message
        return message

    def discard(self) -> None:
        """Remove the reply: nothing of it is worth keeping. What was on show before is so again."""
        if not self._open:
            return
        self._stop_timer()
        self._open = False
        with self._database.writing() as connection:
            _remove(connection, self._record.id, self._before)

    def _save_later(self) -> None:
        self._timer = None
        if not self._open:
            return
        try:
            self._save()
        except SternaError as error:  # nobody to tell here: the next piece, or the end, fails too
            _log.warning("A reply could not be saved in time: %s", error.kind)

    def _save(self) -> None:
        message = self.message
        self._saved_at = time.monotonic()
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE messages SET content = ?, reasoning = ? WHERE id = ?",
                (message.content, message.reasoning, message.id),
            )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def recover(connection: sqlite3.Connection) -> None:
    """Close the replies of programs that are gone: kept as interrupted, or removed if empty."""
    unfinished = connection.execute(
        "SELECT id, parent_id, content, reasoning, writer FROM messages WHERE finish_reason IS NULL"
    ).fetchall()
    for message_id, parent_id, content, reasoning, writer in unfinished:
        if lives(writer):
            continue
        if content or reasoning:
            connection.execute(
                "UPDATE messages SET finish_reason = 'interrupted', writer = NULL WHERE id = ?",
                (message_id,),
            )
        else:
            _remove(connection, message_id, parent_id)


def _remove(connection: sqlite3.Connection, message_id: int, leaf_id: int | None) -> None:
    connection.execute(
        "UPDATE conversations SET leaf_id = ? WHERE leaf_id = ?", (leaf_id, message_id)
    )
    connection.execute("DELETE FROM messages WHERE id = ?", (message_id,))
