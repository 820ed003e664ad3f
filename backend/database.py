"""The one SQLite file: chats, downloads, the library's index.

The schema is the sum of the numbered files in `backend/migrations/`; `PRAGMA user_version` tells how many
of them a file has. Text is stored as it is; whoever shows it cleans it.
"""

import contextlib
import fcntl
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from backend import paths
from backend.errors import SternaError

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_SUSPECT = ".suspect"  # suffix of the mark that asks the next start for a thorough check


class Database:
    """An open database, at the newest schema. May be used from several threads.

    `notices` are sentences the user should see (a damaged file was moved aside, and where to);
    `path` is None for one in memory.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self.path = path
        self.notices: list[str] = []

    @classmethod
    def open(cls, path: Path | None = None) -> "Database":
        """Open (and make or upgrade) the file, `paths.database_file()` unless told otherwise.

        A damaged file is moved aside, never deleted, and `notices` says where to. Raises SternaError:
        newer_database, read_only, disk_full, busy.
        """
        path = path or paths.database_file()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path) from error
        with _one_at_a_time(path):
            try:
                return cls(_prepared(path), path)
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise _translated(error, path) from error
            notice = _move_aside(path)
            try:
                database = cls(_prepared(path), path)
            except sqlite3.Error as error:
                raise _translated(error, path) from error
            database.notices.append(notice)
            return database

    @classmethod
    def in_memory(cls) -> "Database":
        """Return a database that is not kept, for when the disk cannot be written."""
        connection = _connect(":memory:")
        _migrate(connection, None)
        return cls(connection, None)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for queries."""
        with self._lock, self._guarded():
            yield self._connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection inside one transaction: all of it happens, or nothing."""
        with self._lock, self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A failed COMMIT (disk full) may have ended the transaction already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self.path is not None and _is_damage(error):
                with contextlib.suppress(OSError):
                    self.path.with_name(self.path.name + _SUSPECT).touch()
            raise _translated(error, self.path) from error


def migrations() -> list[str]:
    """Return the texts of all migrations in order."""
    return [file.read_text(encoding="utf-8") for file in sorted(_MIGRATIONS.glob("[0-9]*.sql"))]


def _connect(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # a deleted chat leaves no text in the file
    return connection


def _prepared(path: Path) -> sqlite3.Connection:
    existed = path.exists()
    connection = _connect(path)
    try:
        mark = path.with_name(path.name + _SUSPECT)
        if mark.exists():
            _check_thoroughly(connection)
            mark.unlink(missing_ok=True)
        _migrate(connection, path if existed else None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: safe against a crash of ours
        if not existed:
            path.chmod(0o600)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_thoroughly(connection: sqlite3.Connection) -> None:
    result = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if result != "ok":
        raise sqlite3.DatabaseError("database disk image is malformed")


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    """Bring the schema up to date. `path` names a file that had content before: it is backed up."""
    steps = migrations()
    version = _version(connection)
    if version > len(steps):
        raise SternaError(
            "newer_database",
            f"The history was written by a newer Sterna (schema {version}, this one knows {len(steps)}).",
            f"Update Sterna, or move {path} away to start afresh.",
        )
    if version == len(steps):
        return
    if version and path is not None:
        _back_up(connection, path.with_name(f"{path.name}.before-schema-{len(steps)}"))
    for number in range(version + 1, len(steps) + 1):
        script = f"BEGIN EXCLUSIVE;\n{steps[number - 1]}\nPRAGMA user_version = {number};\nCOMMIT;"
        try:
            connection.executescript(script)
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _version(connection: sqlite3.Connection) -> int:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # reads what may be damaged
    return int(version)


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)


def _move_aside(path: Path) -> str:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    try:
        path.rename(aside)
        for suffix in (
            "-wal",
            "-shm",
        ):  # they belong to the damaged file and would spoil the new one
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        path.with_name(path.name + _SUSPECT).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path) from error
    return f"The history file was damaged. It was kept as {aside} and a new one was begun."


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Keep a second Sterna from opening the file while this one creates, upgrades or moves it."""
    try:
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError:
        yield  # a folder that cannot be written: opening the database will say so
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_damage(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "") or ""
    return (
        name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
        or re.search(r"malformed|not a database", str(error)) is not None
    )


def _unwritable(path: Path | None) -> SternaError:
    return SternaError(
        "read_only",
        f"The history at {path} cannot be written.",
        "Check the folder's permissions, or set STERNA_HOME to another one.",
    )


def _translated(error: sqlite3.Error, path: Path | None) -> SternaError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if _is_damage(error):
        return SternaError(
            "corrupt",
            f"The history file {path} is damaged.",
            "Restart Sterna: it checks the file, keeps it aside and begins a new one.",
        )
    if name.startswith("SQLITE_FULL"):
        return SternaError(
            "disk_full", "The disk is full: the history could not be saved.", "Free some space."
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return _unwritable(path)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return SternaError(
            "busy", "Another program holds the history file.", "Try again in a moment."
        )
    if name.startswith("SQLITE_IOERR"):
        return SternaError(
            "disk_error", f"The disk failed while using {path}.", "Check the disk, then try again."
        )
    return SternaError("internal", f"The history failed: {error}.", "Please report this.")
