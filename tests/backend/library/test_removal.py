"""Deleting: what goes, what it frees, what stays; undone at once; safe against kill -9."""

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
from huggingface_hub import scan_cache_dir
from stores import sha256

from backend import paths, settings
from backend.errors import SternaError
from backend.library import find, scan, trash
from backend.library.removal import plan, remove, remove_for_good
from backend.library.stores import roots
from backend.settings import Library, Settings


def picture(folder):
    """Return everything below a folder: links by their target, files by their content."""
    out = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            out[name] = f"-> {path.readlink()}"
        else:
            out[name] = "folder" if path.is_dir() else sha256(path.read_bytes())
    return out


def entries():
    return trash.entries(roots(settings.load()))


def delete(text, *, everywhere=False, kind="app"):
    model, copy = find(text)
    removal = plan(model, model.copies if everywhere else (copy,))
    remove(removal, kind)
    return removal


def undo():
    return trash.restore(entries()[-1])


def names():
    return sorted(name for model in scan() if model.store != "starter" for name in model.names)


# What goes


def test_a_plain_file_goes_and_comes_back(own, gguf):
    content = gguf()
    (own / "a.gguf").write_bytes(content)
    before = (own / "a.gguf").stat()
    removal = delete("a")
    assert removal.paths == (str(own / "a.gguf"),)
    assert removal.frees == len(content)
    assert names() == []
    undo()
    after = (own / "a.gguf").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert entries() == []


def test_all_parts_of_a_split_model_go(own, gguf):
    for number in range(3):
        (own / f"big-{number + 1:05}-of-00003.gguf").write_bytes(
            gguf(number, metadata={"split.count": 3, "split.no": number})
        )
    assert len(delete("big").paths) == 3
    assert list(own.iterdir()) == []
    undo()
    assert len(list(own.iterdir())) == 3


def test_a_repository_with_nothing_else_goes_as_a_whole(hub, gguf):
    hub.add("a/B", {"b.gguf": gguf(1)})
    hub.add("c/D", {"d.gguf": gguf(2)})
    before = picture(hub.root)
    removal = delete("a/B")
    assert removal.paths == (str(hub.repo("a/B")),)
    assert removal.frees == len(gguf(1)) + 40  # the blob, and the commit that refs/main names
    assert not hub.repo("a/B").exists()
    assert not scan_cache_dir(hub.root).warnings
    undo()
    assert picture(hub.root) == before


def test_other_files_of_a_repository_stay(hub, gguf):
    hub.add("a/B", {"b-Q8.gguf": gguf(1), "b-Q4.gguf": gguf(2), "README.md": b"x"})
    before = picture(hub.root)
    delete("b-Q8")
    assert names() == ["a/B/b-Q4.gguf"]
    cache = scan_cache_dir(hub.root)
    assert not cache.warnings
    assert {file.file_name for r in cache.repos for v in r.revisions for file in v.files} == {
        "b-Q4.gguf", "README.md",
    }  # fmt: skip
    undo()
    assert picture(hub.root) == before


def test_a_blob_that_two_revisions_share_goes_from_both(hub, gguf):
    shared, newer = gguf(1), gguf(2)
    hub.add("a/B", {"same.gguf": shared, "b.gguf": gguf(3)}, commit="1" * 40, ref="old")
    hub.add("a/B", {"same.gguf": shared, "b.gguf": newer}, commit="2" * 40)
    before = picture(hub.root)
    removal = delete("same")
    assert removal.frees == len(shared)
    assert len(removal.paths) == 3  # two links and a blob
    assert not scan_cache_dir(hub.root).warnings
    undo()
    assert picture(hub.root) == before


def test_a_revision_goes_and_the_other_keeps_its_blob(hub, gguf):
    hub.add("a/B", {"b.gguf": gguf(1)}, commit="1" * 40, ref=None)
    hub.add("a/B", {"b.gguf": gguf(2)}, commit="2" * 40)
    old = next(model for model in scan() if "1" * 40 in str(model.path))
    remove(plan(old, old.copies), "app")
    (model,) = (model for model in scan() if model.store == "huggingface")
    assert "2" * 40 in str(model.path)
    assert model.error is None


def test_layers_that_two_manifests_share_stay(ollama, gguf):
    content = gguf()
    ollama.add("tern:1b", content)
    ollama.add("tern:latest", content, system=b"Be brief.")
    before = picture(ollama.root)
    removal = delete("tern:latest")
    assert str(ollama.blob(content)) not in removal.paths
    assert str(ollama.blob(b"Be brief.")) in removal.paths
    assert "stay" in removal.kept[0]
    assert names() == ["tern:1b"]
    assert find("tern:1b")[0].error is None
    undo()
    assert picture(ollama.root) == before
    everything = delete("tern:1b", everywhere=True)
    assert everything.frees >= len(content)
    assert not any(ollama.root.rglob("sha256-*"))


def test_a_manifest_that_cannot_be_read_keeps_every_layer(ollama, gguf):
    content = gguf()
    ollama.add("tern:1b", content)
    ollama.manifest("half:1b").parent.mkdir(parents=True)
    ollama.manifest("half:1b").write_text('{"layers": [')
    removal = delete("tern:1b")
    assert removal.paths == (str(ollama.manifest("tern:1b")),)
    assert removal.frees < 1000
    assert "cannot be read" in removal.kept[0]
    assert ollama.blob(content).exists()


def test_lm_studio_and_llama_cpp_lose_what_belongs_to_the_model(home, gguf):
    folder = home / ".lmstudio/models/publisher/Model"
    folder.mkdir(parents=True)
    (folder / "m.gguf").write_bytes(gguf(1))
    cache = home / ".cache/llama.cpp"
    cache.mkdir(parents=True)
    (cache / "a_b.gguf").write_bytes(gguf(2))
    (cache / "a_b.gguf.json").write_text("{}")
    assert delete("m").paths == (str(folder),)
    assert len(delete("a_b").paths) == 2
    assert list(cache.iterdir()) == []
    undo()
    undo()
    assert names() == ["a_b", "publisher/Model/m.gguf"]


def test_the_starter_stays(home):
    with pytest.raises(SternaError) as caught:
        delete("starter")
    assert caught.value.kind == "not_deletable"


def test_hard_links_free_nothing_and_the_preview_says_so(own, ollama, gguf):
    content = gguf()
    blob = ollama.add("tern:1b", content)
    os.link(blob, own / "linked.gguf")
    model, copy = find(str(own / "linked.gguf"))
    removal = plan(model, (copy,))
    assert removal.frees == 0
    assert str(blob) in removal.kept[0]
    assert [copy.store for copy in removal.remains] == ["ollama"]
    both = plan(model, model.copies)
    assert both.frees >= len(content)


def test_a_link_out_of_a_folder_goes_and_its_target_stays(home, own, gguf):
    far = home / "far.gguf"
    far.write_bytes(gguf())
    (own / "link.gguf").symlink_to(far)
    removal = delete("link")
    assert removal.frees == 0
    assert far.exists()
    undo()
    assert (own / "link.gguf").readlink() == far


def test_a_blob_that_lies_outside_of_the_cache_stays(home, hub, gguf):
    snapshot = hub.add("a/B", {"b.gguf": gguf(), "README.md": b"x"})
    blob = (snapshot / "b.gguf").resolve()
    far = home / "far.bin"
    blob.rename(far)
    blob.symlink_to(far)
    removal = delete("a/B/b.gguf")
    assert str(far) in removal.kept[0]
    assert far.exists()
    assert removal.frees == 0
    undo()
    assert names() == ["a/B/b.gguf"]


def test_a_linked_cache_is_deleted_from_where_it_is(home, hub, gguf, tmp_path):
    hub.add("a/B", {"b.gguf": gguf()})
    hub.root.rename(tmp_path / "real")
    hub.root.symlink_to(tmp_path / "real")
    before = picture(tmp_path / "real")
    delete("a/B")
    assert not list((tmp_path / "real").iterdir())
    undo()
    assert picture(tmp_path / "real") == before


def test_names_that_mean_harm_go_and_come_back(own, gguf):
    for number, name in enumerate(["a\nb.gguf", "\x1b[2J.gguf", "\udcff.gguf", "-rf.gguf"]):
        (own / name).write_bytes(gguf(number))
    before = picture(own)
    for model in scan():
        if model.store != "starter":
            remove(plan(model, model.copies), "app")
    assert list(own.iterdir()) == []
    for _ in range(4):
        undo()
    assert picture(own) == before


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
