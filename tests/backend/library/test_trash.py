"""What was deleted: undone at once, safe against kill -9, kept where the disk has its trash."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from removing import delete, entries, names, picture, undo

from backend import paths, settings
from backend.errors import SternaError
from backend.library import find, scan, trash
from backend.library.removal import plan, remove_for_good
from backend.library.stores import roots
from backend.settings import Library, Settings

# Undo, and the end of it


def test_nothing_is_overwritten_by_an_undo(own, gguf):
    (own / "a.gguf").write_bytes(gguf(1))
    delete("a")
    (own / "a.gguf").write_bytes(gguf(2))
    with pytest.raises(SternaError) as caught:
        undo()
    assert caught.value.kind == "occupied"
    assert (own / "a.gguf").read_bytes() == gguf(2)
    (own / "a.gguf").unlink()
    undo()
    assert (own / "a.gguf").read_bytes() == gguf(1)


def test_a_repository_that_came_back_meanwhile_gets_its_old_files_beside(hub, gguf):
    hub.add("a/B", {"b.gguf": gguf(1)}, commit="1" * 40, ref="old")
    delete("a/B")
    hub.add("a/B", {"b.gguf": gguf(2)}, commit="2" * 40, ref="new")
    undo()
    assert len([model for model in scan() if model.store == "huggingface"]) == 2
    assert entries() == []


def test_the_app_empties_its_own_and_leaves_what_others_deleted(own, gguf):
    (own / "a.gguf").write_bytes(gguf(1))
    (own / "b.gguf").write_bytes(gguf(2))
    delete("a", kind="app")
    delete("b", kind="cli")
    trash.empty(entry for entry in trash.mine(entries()) if entry.kind == "app")
    (left,) = entries()
    assert left.kind == "cli"
    assert left.bytes == len(gguf(2))
    assert trash.sweep(roots(settings.load())) == []
    assert entries() == [left]


def test_what_the_command_line_deleted_goes_after_a_day(own, gguf, monkeypatch):
    (own / "a.gguf").write_bytes(gguf(1))
    delete("a", kind="cli")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + trash.KEPT + 1)
    trash.sweep(roots(settings.load()))
    assert entries() == []
    assert not list((paths.data_dir()).rglob("*.gguf"))


DELETE_AND_DIE = """
import os, signal, sys
from backend.library import find, trash
from backend.library.removal import plan, remove
real, left = os.rename, int(sys.argv[2])
def rename(a, b):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    real(a, b)
os.rename = rename
model, copy = find(sys.argv[1])
remove(plan(model, (copy,)), "app")
"""


def die(model, moves):
    child = subprocess.run(
        [sys.executable, "-c", DELETE_AND_DIE, model, str(moves)],
        env=os.environ.copy(),
        check=False,
    )
    return child.returncode


def test_kill_9_in_the_middle_of_a_deletion_loses_nothing(hub, gguf):
    content = {"b-Q8.gguf": gguf(1), "b-Q4.gguf": gguf(2)}
    hub.add("a/B", content)
    before = picture(hub.root)
    for moves in range(3):  # a link, a blob, the entry's name
        assert die("b-Q8", moves) == -signal.SIGKILL
        told = trash.sweep(roots(settings.load()))
        assert len(told) == (moves > 0)
        assert picture(hub.root) == before
        assert entries() == []


def test_what_a_dead_app_deleted_is_emptied_at_the_next_start(own, gguf):
    (own / "a.gguf").write_bytes(gguf(1))
    assert die("a", 99) == 0
    (entry,) = entries()
    assert not entry.alive
    trash.sweep(roots(settings.load()))
    assert entries() == []


def test_emptying_that_was_cut_short_goes_on(own, gguf):
    (own / "a.gguf").write_bytes(gguf(1))
    delete("a")
    folder = entries()[0].folders[0]
    Path(folder).rename(f"{folder}.emptying")
    trash.sweep(roots(settings.load()))
    assert entries() == []
    assert not list(paths.data_dir().rglob("a.gguf"))


# Where the trash is


@pytest.fixture
def disk():
    folder = tempfile.mkdtemp(dir="/dev/shm")
    yield Path(folder) / "models"
    shutil.rmtree(folder)


def test_a_disk_has_its_own_trash(home, disk, gguf):
    disk.mkdir()
    (disk / "far.gguf").write_bytes(gguf())
    paths.settings_file().parent.mkdir(parents=True)
    paths.settings_file().write_text(f'[library]\nfolders = ["{disk}"]')
    delete("far")
    (entry,) = entries()
    assert entry.folders[0].startswith(str(disk.parent))
    assert names() == []
    undo()
    assert names() == ["far"]
    assert [path.name for path in disk.parent.iterdir()] == ["models"]


def test_a_file_on_a_disk_without_room_for_a_trash_can_go_for_good(own, disk, gguf):
    disk.mkdir()
    (disk / "far.gguf").write_bytes(gguf())
    (own / "link").symlink_to(disk)
    with pytest.raises(SternaError) as caught:
        delete("far")
    assert caught.value.kind == "no_trash"
    assert names() == ["far"]
    model, copy = find("far")
    remove_for_good(plan(model, (copy,)))
    assert names() == []


def test_a_file_that_may_not_be_moved_stays_and_says_why(own, gguf, monkeypatch):
    (own / "a.gguf").write_bytes(gguf())

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(SternaError) as caught:
        delete("a")
    assert caught.value.kind == "not_allowed"
    assert names() == ["a"]
    assert not (paths.data_dir() / "trash").exists()


def test_a_model_that_is_away_is_only_struck_off(home, disk, gguf):
    disk.mkdir()
    link = home / "media"
    link.symlink_to(disk)
    (link / "far.gguf").write_bytes(gguf())
    paths.settings_file().parent.mkdir(parents=True)
    paths.settings_file().write_text(f'[library]\nfolders = ["{link}"]')
    assert names() == ["far"]
    link.unlink()
    removal = delete("far")
    assert removal.forgets
    assert names() == []
    link.symlink_to(disk)
    assert names() == ["far"]


def test_settings_of_a_store_hold_for_its_trash(own, gguf):
    wish = Settings(library=Library(folders=["/nowhere"]))
    (own / "a.gguf").write_bytes(gguf())
    delete("a")
    assert len(trash.entries(roots(wish))) == 1
    assert json.dumps(trash.entries(roots(wish))[0].paths)
