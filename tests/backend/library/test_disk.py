"""What models take of the disks: duplicates, leftovers, old revisions, and what is freed for real."""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir

from backend import settings
from backend.database import Database
from backend.errors import SternaError
from backend.library import scan, survey, trash
from backend.library.background import remember
from backend.library.disk import remove_leftovers, use
from backend.library.duplicates import alike, duplicates, link
from backend.library.stores import roots


def age(*files, seconds=7200):
    then = time.time() - seconds
    for path in files:
        os.utime(path, (then, then))


def on_disk(folder):
    """Return the bytes of the models that a folder holds, as `du` counts: every inode once."""
    files = {
        path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }
    return sum(files.values())


def left(why=None):
    found = use(survey()).leftovers
    return {Path(one.path).name: one.why for one in found if why in (None, one.why)}


def put_back():
    trash.restore(trash.entries(roots(settings.load()))[-1])


def found_duplicates():
    remember(alike(scan()))
    return duplicates(scan())


def test_room_is_counted_for_each_store_and_once_in_all(home, own, hub, ollama, gguf):
    content = gguf()
    hub.add("a/B", {"b.gguf": content, "mmproj.gguf": gguf(1, metadata={"general.type": "mmproj"})})
    blob = ollama.add("b:1b", content)
    ollama.add("b:latest", content)
    os.link(blob, own / "same.gguf")
    found = use(survey())
    room = {store.store: (store.models, store.bytes) for store in found.stores}
    size = len(content)
    projector = on_disk(hub.root / "models--a--B/blobs") - size
    assert room["huggingface"] == (2, size + projector)
    assert room["ollama"] == (1, size)
    assert room["sterna"] == (1, size)
    starter = room["starter"][1]
    assert found.bytes == 2 * size + projector + starter  # the link counts once
    assert all(store.free for store in found.stores)


# Duplicates


def test_duplicates_become_links_and_every_name_keeps_its_content(own, hub, ollama, gguf):
    content = gguf()
    snapshot = hub.add("a/B", {"b.gguf": content})
    blob = ollama.add("b:1b", content)
    (own / "mine.gguf").write_bytes(content)
    before = sum(map(on_disk, (own, hub.root, ollama.root)))
    (duplicate,) = found_duplicates()
    assert len(duplicate.others) == 2
    assert duplicate.bytes == 2 * len(content)
    assert link(duplicate) == 2 * len(content)
    names = [own / "mine.gguf", snapshot / "b.gguf", blob]
    assert len({path.stat().st_ino for path in names}) == 1
    assert all(path.read_bytes() == content for path in names)
    assert (snapshot / "b.gguf").is_symlink()
    inodes = {p.stat().st_ino: p.stat().st_size for r in (own, hub.root, ollama.root)
              for p in r.rglob("*") if p.is_file()}  # fmt: skip
    assert before - sum(inodes.values()) == 2 * len(content)
    assert duplicates(scan()) == []
    assert len([model for model in scan() if model.store != "starter"]) == 1
    assert not scan_cache_dir(hub.root).warnings


def test_a_duplicate_with_two_names_is_freed_when_both_are_linked(own, hub, gguf, home):
    content = gguf()
    hub.add("a/B", {"b.gguf": content})
    (own / "one.gguf").write_bytes(content)
    os.link(own / "one.gguf", own / "two.gguf")
    (own / "keep").mkdir()
    (duplicate,) = found_duplicates()
    assert duplicate.kept.path.startswith(str(own))  # it has the most names
    assert duplicate.bytes == len(content)
    for number in range(2):
        os.link(next((hub.repo("a/B") / "blobs").iterdir()), own / f"keep/{number}.gguf")
    (duplicate,) = found_duplicates()
    assert len(duplicate.others) == 2
    assert duplicate.bytes == len(content)
    assert link(duplicate) == len(content)
    assert (own / "one.gguf").stat().st_nlink == 5

    os.link(own / "one.gguf", home / "out of sight")
    (own / "copy.gguf").write_bytes(content)
    os.link(own / "copy.gguf", home / "second name out of sight")
    (duplicate,) = found_duplicates()
    assert duplicate.bytes == 0  # the other name keeps it
    assert link(duplicate) == 0


def test_equal_sizes_alone_are_no_duplicates(own, gguf):
    (own / "a.gguf").write_bytes(gguf(1))
    (own / "b.gguf").write_bytes(gguf(2))
    (own / "c.gguf").write_bytes(gguf(3, vocab_size=400))
    assert len(alike(scan())) == 2
    assert found_duplicates() == []


def test_a_copy_that_has_changed_since_is_not_linked(own, hub, gguf):
    content = gguf()
    hub.add("a/B", {"b.gguf": content})
    (own / "mine.gguf").write_bytes(content)
    (duplicate,) = found_duplicates()
    status = (own / "mine.gguf").stat()
    with (own / "mine.gguf").open("r+b") as file:  # as a failing disk does it
        file.seek(-1, os.SEEK_END)
        file.write(b"\xa5")
    os.utime(own / "mine.gguf", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(SternaError) as caught:
        link(duplicate)
    assert caught.value.kind == "damaged"
    broken = next(model for model in scan() if model.name == "mine")
    assert "damaged" in broken.error
    assert broken.path.stat().st_nlink == 1
    assert duplicates(scan()) == []


def test_a_file_that_was_replaced_meanwhile_stays(own, hub, gguf):
    hub.add("a/B", {"b.gguf": gguf()})
    (own / "mine.gguf").write_bytes(gguf())
    (duplicate,) = found_duplicates()
    (own / "mine.gguf").write_bytes(gguf(9))
    with pytest.raises(SternaError) as caught:
        link(duplicate)
    assert caught.value.kind == "changed"
    assert (own / "mine.gguf").read_bytes() == gguf(9)


def test_a_link_that_cannot_be_made_leaves_all_as_it_was(own, hub, gguf, monkeypatch):
    hub.add("a/B", {"b.gguf": gguf()})
    (own / "mine.gguf").write_bytes(gguf())
    (duplicate,) = found_duplicates()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(SternaError) as caught:
        link(duplicate)
    assert caught.value.kind == "not_allowed"
    assert [path.name for path in own.iterdir()] == ["mine.gguf"]


def test_other_rights_and_other_disks_stay_apart(own, hub, gguf, home):
    content = gguf()
    blob = next((hub.add("a/B", {"b.gguf": content}).parents[1] / "blobs").iterdir())
    (own / "private.gguf").write_bytes(content)
    (own / "private.gguf").chmod(0o600)
    blob.chmod(0o644)
    far = tempfile.mkdtemp(dir="/dev/shm")
    try:
        (Path(far) / "far.gguf").write_bytes(content)
        (own / "disk").symlink_to(far)
        (duplicate,) = found_duplicates()
        assert duplicate.others == ()
        assert duplicate.bytes == 0
        ((_file, why),) = duplicate.apart
        assert "may read only one" in why
        assert link(duplicate) == 0
    finally:
        shutil.rmtree(far)


# Leftovers


def test_unfinished_downloads_of_every_store_are_found(home, own, hub, ollama, gguf):
    hub.add("a/B", {"b.gguf": gguf()})
    ollama.add("b:1b", gguf())
    blobs = hub.repo("a/B") / "blobs"
    studio, cache = home / ".lmstudio/models/p/m", home / ".cache/llama.cpp"
    files = [
        blobs / f"{'1' * 64}.0a1b2c3d.incomplete",
        blobs / f"{'2' * 64}.sterna.incomplete",
        blobs / f"{'2' * 64}.sterna-journal.incomplete",
        ollama.root / "blobs" / f"sha256-{'3' * 64}-partial",
        ollama.root / "blobs" / f"sha256-{'3' * 64}-partial-0",
        studio / "downloading_x.gguf.part",
        cache / "a_b.gguf.downloadInProgress",
        own / "half.gguf.part",
    ]
    others = [own / "holiday.mp4.part", own / "notes.tmp"]
    for path in (*files, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
    assert left() == {}  # somebody may still be writing
    age(*files, *others)
    assert left() == {path.name: "partial" for path in files}

    found = use(survey()).leftovers
    remove_leftovers(found, "cli")
    assert not any(path.exists() for path in files)
    assert all(path.exists() for path in others)
    put_back()
    assert all(path.exists() for path in files)


def test_a_download_that_holds_the_lock_of_the_hub_is_let_be(hub, gguf):
    hub.add("a/B", {"b.gguf": gguf()})
    partial = hub.repo("a/B") / "blobs" / f"{'1' * 64}.sterna.incomplete"
    partial.write_bytes(b"x")
    age(partial)
    lock = hub.root / ".locks" / "models--a--B" / f"{'1' * 64}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert left() == {}
    assert left() == {partial.name: "partial"}


@pytest.mark.parametrize(("state", "kept"), [("paused", True), ("failed", True), ("done", False)])
def test_a_download_that_waits_in_the_queue_is_let_be(hub, gguf, state, kept):
    hub.add("a/B", {"b.gguf": gguf()})
    partial = hub.repo("a/B") / "blobs" / f"{'1' * 64}.sterna.incomplete"
    partial.write_bytes(b"x")
    age(partial)
    with closing(Database.open()) as database, database.writing() as connection:
        connection.execute(
            "INSERT INTO downloads (place, repo, revision, commit_id, quant, license, files, bytes,"
            " state, created, updated) VALUES (1, 'a/B', 'main', '', '', '', '[]', 1, ?, 1, 1)",
            (state,),
        )
    assert left() == ({} if kept else {partial.name: "partial"})


def test_what_a_killed_linking_left_is_found(hub, ollama, own, gguf):
    hub.add("a/B", {"b.gguf": gguf(1)})
    blob = ollama.add("b:1b", gguf(2))
    for folder in (own, blob.parent, hub.repo("a/B") / "blobs"):
        os.link(blob, folder / ".123.sterna-link")
        age(blob)
    assert left() == {".123.sterna-link": "partial"}
    assert sum(one.bytes for one in use(survey()).leftovers) == 0


def test_what_nothing_refers_to_is_found(hub, ollama, gguf):
    hub.add("a/B", {"b.gguf": gguf(1)})
    ollama.add("b:1b", gguf(2))
    lost = [hub.repo("a/B") / "blobs" / ("4" * 64), ollama.root / "blobs" / f"sha256-{'5' * 64}"]
    strange = [hub.repo("a/B") / "blobs" / "notes.txt", ollama.root / "blobs" / "readme"]
    for path in (*lost, *strange):
        path.write_bytes(b"x")
        age(path)
    assert left() == {path.name: "unreferenced" for path in lost}
    ollama.manifest("half:1b").parent.mkdir(parents=True)
    ollama.manifest("half:1b").write_text("{")  # it may be the one that needs that blob
    assert left() == {lost[0].name: "unreferenced"}


def test_an_old_revision_goes_and_the_new_one_stays_whole(hub, gguf):
    shared, readme = gguf(3), b"read me"
    files = {"same.gguf": shared, "README.md": readme}
    hub.add("a/B", {"b.gguf": gguf(1), **files}, commit="1" * 40, ref=None)
    hub.add("a/B", {"b.gguf": gguf(2), **files}, commit="2" * 40)
    hub.add("c/D", {"pinned.gguf": gguf(4)}, commit="3" * 40, ref=None)  # asked for by its commit
    (old,) = use(survey()).leftovers
    assert (old.why, old.bytes) == ("superseded", len(gguf(1)))
    remove_leftovers([old], "cli")
    assert left() == {}
    cache = scan_cache_dir(hub.root)
    assert not cache.warnings
    names = sorted(model.name for model in scan() if model.store == "huggingface")
    assert names == ["a/B/b.gguf", "a/B/same.gguf", "c/D/pinned.gguf"]
    put_back()
    assert len(use(survey()).leftovers) == 1


def test_the_trash_counts_as_room_that_can_be_had_back(own, gguf):
    (own / "a.gguf").write_bytes(gguf())
    assert use(survey()).reclaimable == 0
    trash.delete([str(own / "a.gguf")], [str(own)], "cli")
    found = use(survey())
    assert found.reclaimable == len(gguf())
    trash.empty(found.trash)
    assert use(survey()).reclaimable == 0
