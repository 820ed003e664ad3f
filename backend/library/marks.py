"""What the person noted about models: favourites, names of their own, notes; and when each was used.

A mark is kept by path and, where it is known, by the hash of the content, so that it follows a model
to another place.
"""

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from backend.database import Database
from backend.errors import SternaError
from backend.library.model import LibraryModel
from backend.library.summary import plain
from backend.text import clean

_LONGEST_NAME, _LONGEST_NOTE = 64, 4000  # characters


class Mark(msgspec.Struct, frozen=True):
    """What is noted about one model."""

    favourite: bool = False
    alias: str = ""
    note: str = ""
    last_used: float | None = None  # seconds since 1970

    def with_those_of(self, other: "Mark") -> "Mark":
        """Return both together."""
        times = [when for when in (self.last_used, other.last_used) if when is not None]
        return Mark(
            self.favourite or other.favourite,
            self.alias or other.alias,
            self.note or other.note,
            max(times, default=None),
        )


class Marks:
    """All marks, in memory."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._by_path: dict[str, Mark] = {}
        self._by_hash: dict[str, Mark] = {}
        query = "SELECT path, sha256, favourite, alias, note, last_used FROM library_marks"
        for path, sha256, favourite, alias, note, used in connection.execute(query):
            mark = Mark(bool(favourite), alias, note, used)
            self._by_path[os.fsdecode(path)] = mark
            if sha256 is not None:
                self._by_hash[sha256] = self._by_hash.get(sha256, Mark()).with_those_of(mark)

    def of(self, paths: list[str], sha256: str | None) -> Mark:
        """Return what is noted about the content that lies at these paths."""
        found = [self._by_path[path] for path in paths if path in self._by_path]
        if sha256 is not None and sha256 in self._by_hash:
            found.append(self._by_hash[sha256])
        mark = Mark()
        for other in found:
            mark = mark.with_those_of(other)
        return mark


def mark(
    model: LibraryModel,
    *,
    favourite: bool | None = None,
    alias: str | None = None,
    note: str | None = None,
    others: tuple[LibraryModel, ...] = (),
) -> None:
    """Note something about a model; None leaves that as it is, an empty text takes it away.

    An alias must not mean any of the `others`. Raises SternaError: bad_alias, and the database's.
    """
    wish: dict[str, object] = {}
    if favourite is not None:
        wish["favourite"] = int(favourite)
    if alias is not None:
        wish["alias"] = _checked(alias.strip(), model, others)
    if note is not None:
        wish["note"] = plain(note.strip())[:_LONGEST_NOTE]
    if not wish:
        return
    where = [os.fsencode(copy.path) for copy in model.copies] or [os.fsencode(model.path)]
    sets = ", ".join(f"{column} = ?" for column in wish)
    places = ",".join("?" * len(where))
    with closing(Database.open()) as database, database.writing() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO library_marks (path) VALUES (?)", (os.fsencode(model.path),)
        )
        connection.execute(
            "UPDATE library_marks SET sha256 = coalesce(?, sha256) WHERE path = ?",
            (model.sha256, os.fsencode(model.path)),
        )
        connection.execute(
            f"UPDATE library_marks SET {sets} WHERE path IN ({places}) OR sha256 = ?",
            (*wish.values(), *where, model.sha256),
        )


def mark_used(path: str | os.PathLike[str], when: float | None = None) -> None:
    """Note that a model was used, now unless told otherwise; failing to is no reason to stop."""
    when = time.time() if when is None else when
    absolute = os.path.abspath(path)
    paths = dict.fromkeys((absolute, os.path.realpath(path)))
    with (
        suppress(SternaError),
        closing(Database.open()) as database,
        database.writing() as connection,
    ):
        connection.executemany(
            "INSERT INTO library_marks (path, last_used) VALUES (?, ?)"
            " ON CONFLICT (path) DO UPDATE SET last_used = excluded.last_used",
            ((os.fsencode(place), when) for place in paths),
        )


def _checked(alias: str, model: LibraryModel, others: tuple[LibraryModel, ...]) -> str:
    """Return an alias that can be typed and means this model alone."""
    if (
        len(alias) > _LONGEST_NAME
        or clean(alias) != alias
        or "/" in alias
        or Path(alias).suffix == ".gguf"
    ):
        raise SternaError(
            "bad_alias",
            f"{alias[:_LONGEST_NAME]!r} cannot be a name.",
            f"Take at most {_LONGEST_NAME} characters, without / and without .gguf at the end.",
        )
    wanted = alias.casefold()
    for other in others:
        taken = alias and other.path != model.path
        if taken and wanted in (name.casefold() for name in other.names):
            raise SternaError(
                "bad_alias", f"{alias!r} is {other.name} already.", "Take another name."
            )
    return alias
