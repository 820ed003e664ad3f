"""Where a file comes to lie: the cache that every tool shares, its links, names, and other stores."""

import hashlib
import shutil
import threading

import pytest
from downloading import DATA, FILE, NAME, PIECE, SHA, Fetch, failure, order, served_twice
from loopback_hub import (
    Fault,
    Repo,
    flip,
    pseudo_random,
)

from backend.hub.cache import blob_path


def test_small_files_outside_lfs_are_checked_by_gits_hash(hub):
    text = b'{"a": 1}' * 40_000
    files = {"config.json": text, "model.safetensors": DATA[: PIECE * 3]}
    hub.add(Repo("own/Checkpoint", files))
    hub.faults = [Fault(flip(PIECE + 3), path="config.json")]
    fetch = Fetch(order("own/Checkpoint"))
    fetched = {file.path.name: file for file in fetch.run()}
    assert fetched["config.json"].path.read_bytes() == text
    assert fetched["config.json"].sha256 == hashlib.sha256(text).hexdigest()
    done = fetch.events[-1]
    assert done["path"] == str(fetched["model.safetensors"].path.parent)
    assert len(done["files"]) == 2


def test_an_empty_file(hub):
    hub.add(Repo("own/Empty", {"config.json": b"", "model.safetensors": b""}))
    assert [file.bytes for file in Fetch(order("own/Empty")).run()] == [0, 0]


def test_a_split_model_comes_whole(hub):
    parts = {f"big-Q8_0-{i:05d}-of-00003.gguf": pseudo_random(PIECE + i, i) for i in (1, 2, 3)}
    hub.add(Repo("own/Split", parts))
    fetch = Fetch(order("own/Split", "q8_0"))
    fetched = fetch.run()
    assert [file.path.name for file in fetched] == sorted(parts)
    assert fetch.events[-1]["path"].endswith("big-Q8_0-00001-of-00003.gguf")
    assert fetch.events[-1]["bytes"] == sum(map(len, parts.values()))


def test_two_programs_at_once_fetch_it_once(hub):
    hub.rate = 2_000_000
    wanted = order()
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(Fetch(wanted).run())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [files[0].sha256 for files in results] == [SHA, SHA]
    assert served_twice(hub) == 0


def test_a_symlinked_cache(hub, tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "hf").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (file,) = Fetch().run()
    assert file.path.read_bytes() == DATA
    assert (tmp_path / "disk" / "hub").is_dir()


def test_a_link_inside_the_cache_that_leads_out_of_it(hub, tmp_path):
    wanted = order()
    snapshots = blob_path(NAME, SHA).parent.parent / "snapshots"
    snapshots.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (snapshots / wanted.commit).symlink_to(tmp_path / "outside")
    assert failure(Fetch(wanted)).kind == "unsafe_name"
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "../../../outside.gguf",
        "a/../../../../outside.gguf",
        "/etc/outside.gguf",
        "C:\\outside.gguf",
        "..\\outside.gguf",
        "new\nline.gguf",
        "esc\x1b[2J.gguf",
        "c1\x9b2J.gguf",
        "nul\0.gguf",
        "a//b.gguf",
        "x" * 300 + ".gguf",
    ],
)
def test_a_name_that_means_harm(hub, home, name):
    hub.add(Repo("own/Evil", {name: DATA}))
    error = failure(Fetch(order("own/Evil")))
    assert error.kind == "unsafe_name"
    assert "\n" not in error.message
    assert not list(home.rglob("*outside*"))
    assert not list(home.rglob("*.gguf"))


def test_the_same_content_in_ollamas_store_is_linked(hub, home):
    blobs = home / "ollama" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256-{SHA}").write_bytes(DATA)
    fetch = Fetch()
    (file,) = fetch.run()
    assert file.path.read_bytes() == DATA
    assert not hub.served()
    assert file.path.resolve().stat().st_ino == (blobs / f"sha256-{SHA}").stat().st_ino
    assert fetch.of("linked")
    shutil.rmtree(home / "ollama")
    assert file.path.read_bytes() == DATA


def test_the_same_content_of_another_repository_is_linked(hub):
    Fetch().run()
    hub.add(Repo("other/Copy", {"copy-Q4_K_M.gguf": DATA}))
    before = len(hub.served())
    (file,) = Fetch(order("other/Copy")).run()
    assert file.path.read_bytes() == DATA
    assert len(hub.served()) == before


def test_a_file_that_only_claims_to_be_the_same_content_is_not_believed(hub, home):
    blobs = home / "ollama" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256-{SHA}").write_bytes(bytes(len(DATA)))
    (file,) = Fetch().run()
    assert file.path.read_bytes() == DATA
    assert hub.served()


def test_a_file_that_was_replaced_is_told(hub):
    wanted = order()
    hub.rate = 1_500_000
    Fetch(wanted, stop_at=len(DATA) // 2).run()
    hub.rate = None
    old = hub.repos[NAME].commits[wanted.commit]
    hub.repos[NAME].put(FILE, pseudo_random(len(DATA), 5))
    hub.repos[NAME].commits[wanted.commit] = hub.repos[NAME].stored
    assert failure(Fetch(wanted)).kind == "changed"
    hub.repos[NAME].commits[wanted.commit] = old
    assert Fetch(wanted).run()[0].sha256 == SHA
