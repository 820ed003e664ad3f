import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from backend import database, paths
from backend.database import Database
from backend.errors import SternaError


def rows(db, sql):
    with db.reading() as connection:
        return [tuple(row) for row in connection.execute(sql)]


def test_a_new_file_has_the_newest_schema_and_is_private():
    db = Database.open()
    assert rows(db, "PRAGMA user_version") == [(len(database.migrations()),)]
    assert rows(db, "PRAGMA journal_mode") == [("wal",)]
    assert rows(db, "PRAGMA foreign_keys") == [(1,)]
    assert paths.database_file().stat().st_mode & 0o077 == 0
    assert db.notices == []


def test_a_newer_schema_is_refused_and_untouched():
    Database.open().close()
    with contextlib.closing(sqlite3.connect(paths.database_file())) as raw:
        raw.execute("PRAGMA user_version = 99")
    before = paths.database_file().read_bytes()
    with pytest.raises(SternaError, match="newer Sterna") as caught:
        Database.open()
    assert caught.value.kind == "newer_database"
    assert paths.database_file().read_bytes() == before


@pytest.mark.parametrize("damage", ["no database at all", "header kept, pages lost"])
def test_a_damaged_file_is_kept_aside_and_said_so(damage):
    path = paths.database_file()
    db = Database.open()
    with db.writing() as connection:
        connection.execute("INSERT INTO conversations (created, updated) VALUES (1, 1)")
    db.close()
    content = path.read_bytes()
    broken = b"junk" * 5000 if damage.startswith("no") else content[:100] + b"\xa5" * len(content)
    path.write_bytes(broken)

    db = Database.open()
    assert rows(db, "SELECT count(*) FROM conversations") == [(0,)]
    (aside,) = path.parent.glob("sterna.db.damaged-*")
    assert aside.read_bytes() == broken
    assert str(aside) in db.notices[0]


def test_damage_found_while_working_is_checked_at_the_next_start():
    path = paths.database_file()
    db = Database.open()
    with db.writing() as connection:
        for _ in range(200):
            connection.execute(
                "INSERT INTO conversations (title, created, updated) VALUES (hex(randomblob(500)), 1, 1)"
            )
    db.close()
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xa5" * 4096  # the first table's root: the schema stays readable
    path.write_bytes(content)

    db = Database.open()
    with pytest.raises(SternaError) as caught:
        rows(db, "SELECT sum(length(title)) FROM conversations")
    assert caught.value.kind == "corrupt"
    db.close()
    assert Database.open().notices


def test_a_migration_that_fails_changes_nothing(monkeypatch):
    Database.open().close()
    steps = [*database.migrations(), "CREATE TABLE half (id); CREATE TABLE half (id);"]
    monkeypatch.setattr(database, "migrations", lambda: steps)
    with pytest.raises(SternaError):
        Database.open()
    monkeypatch.undo()
    db = Database.open()
    assert rows(db, "SELECT name FROM sqlite_schema WHERE name = 'half'") == []


def test_an_upgrade_leaves_a_copy_of_the_old_file(monkeypatch):
    db = Database.open()
    with db.writing() as connection:
        connection.execute("INSERT INTO conversations (title, created, updated) VALUES ('a', 1, 1)")
    db.close()
    steps = [*database.migrations(), "ALTER TABLE conversations DROP COLUMN model;"]
    monkeypatch.setattr(database, "migrations", lambda: steps)
    Database.open().close()
    (copy,) = paths.database_file().parent.glob(f"*.before-schema-{len(steps)}")
    with contextlib.closing(sqlite3.connect(copy)) as old:
        assert old.execute("SELECT title, model FROM conversations").fetchall() == [("a", "")]


def test_a_full_disk_is_said_and_costs_nothing_that_was_there():
    db = Database.open()
    with db.writing() as connection:
        connection.execute("INSERT INTO conversations (title, created, updated) VALUES ('a', 1, 1)")
        connection.execute("PRAGMA max_page_count = 1")
    insert = "INSERT INTO conversations (title, created, updated) VALUES (?, 1, 1)"
    with pytest.raises(SternaError) as caught, db.writing() as connection:
        connection.execute(insert, ("x" * 1_000_000,))
    assert caught.value.kind == "disk_full"
    assert rows(db, "SELECT title FROM conversations") == [("a",)]
    with db.writing() as connection:  # and it goes on working
        connection.execute("UPDATE conversations SET title = 'b'")


def test_a_place_that_cannot_be_written_is_named(monkeypatch):
    monkeypatch.setenv("STERNA_HOME", "/proc/nowhere")
    with pytest.raises(SternaError, match="/proc/nowhere") as caught:
        Database.open()
    assert caught.value.kind == "read_only"


def test_a_failed_transaction_is_undone():
    db = Database.open()
    insert = "INSERT INTO conversations (created, updated) VALUES (?, 1)"
    with pytest.raises(SternaError), db.writing() as connection:
        connection.executemany(insert, [(1,), (None,)])
    assert rows(db, "SELECT count(*) FROM conversations") == [(0,)]


def test_several_programs_and_threads_write_to_one_file():
    insert = "INSERT INTO conversations (created, updated) VALUES (1, 1)"
    code = (
        "from backend.database import Database\n"
        "db = Database.open()\n"
        f"for _ in range(50):\n  with db.writing() as c: c.execute({insert!r})\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    db = Database.open()

    def work():
        for _ in range(50):
            with db.writing() as connection:
                connection.execute(insert)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(30) for other in others] == [0, 0]
    assert rows(db, "SELECT count(*) FROM conversations") == [(200,)]


def test_in_memory_works_where_nothing_can_be_kept(home):
    db = Database.in_memory()
    with db.writing() as connection:
        connection.execute("INSERT INTO conversations (created, updated) VALUES (1, 1)")
    assert rows(db, "SELECT count(*) FROM conversations") == [(1,)]
    shutil.rmtree(home / "sterna", ignore_errors=True)
    assert not paths.database_file().exists()
