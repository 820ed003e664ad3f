"""Hashes: computed once, kept, resumed after kill -9, and what verifying finds."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import wait_until_now

from backend import paths
from backend.errors import SternaError
from backend.library import scan
from backend.library.background import Hasher, unhashed
from backend.library.files import look_at
from backend.library.hashing import CHUNK, StoppedError, sha256_of
from backend.library.verification import files_of, verify


def check(models):
    return {Path(found.path).name: found for found in verify(files_of(models))}


def sizes(models):
    return [file.size for file in unhashed(m for m in models if m.store != "starter")]


def hashed(models):
    return {model.name: model.sha256 for model in models if model.store == "sterna"}


def run_hasher(models):
    done = []
    files = unhashed(models)
    hasher = Hasher(files, lambda: done.append(True))
    hasher.start()
    hasher.join(60)
    assert done
    return len(files)


def test_a_hash_is_that_of_the_content_and_progress_counts_every_byte(tmp_path):
    content = os.urandom(CHUNK * 2 + 17)
    (tmp_path / "f").write_bytes(content)
    counts = []
    digest = sha256_of(look_at(str(tmp_path / "f")), progress=counts.append)
    assert digest == hashlib.sha256(content).hexdigest()
    assert sum(counts) == len(content)
    assert len(counts) == 3


def test_it_stops_between_two_pieces(tmp_path):
    (tmp_path / "f").write_bytes(bytes(CHUNK * 3))
    told = []
    with pytest.raises(StoppedError):
        sha256_of(look_at(str(tmp_path / "f")), progress=told.append, stop=lambda: bool(told))
    assert len(told) == 1


@pytest.mark.parametrize("what", ["gone", "grown", "a pipe", "a folder"])
def test_a_file_that_is_another_by_now_is_told(tmp_path, what):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    file = look_at(str(path))
    path.unlink()
    if what == "grown":
        path.write_bytes(b"x" * 200)
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    with pytest.raises(SternaError) as caught:
        sha256_of(file)
    assert caught.value.kind == ("not_found" if what == "gone" else "changed")


def test_a_file_that_is_written_to_meanwhile_is_told(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(bytes(CHUNK * 2))
    with pytest.raises(SternaError, match="has changed"):
        sha256_of(look_at(str(path)), progress=lambda _: os.truncate(path, CHUNK * 2 + 1))


def test_files_of_one_size_come_first(own, gguf):
    (own / "small.gguf").write_bytes(gguf(1))
    (own / "a.gguf").write_bytes(gguf(2, vocab_size=400))
    (own / "b.gguf").write_bytes(gguf(3, vocab_size=400))
    small, large = (own / "small.gguf").stat().st_size, (own / "a.gguf").stat().st_size
    assert sizes(scan()) == [large, large, small]


def test_the_hasher_joins_what_is_equal(own, hub, gguf):
    content = gguf()
    hub.add("a/B", {"b.gguf": content})
    (own / "same.gguf").write_bytes(content)
    (own / "other.gguf").write_bytes(gguf(5))
    assert run_hasher(scan()) == 3  # the starter is the third
    models = [model for model in scan() if model.store != "starter"]
    assert len(models) == 2
    same = next(model for model in models if model.path.name == "same.gguf")
    assert same.also_in == ("huggingface",)
    assert unhashed(models) == []


def test_a_hash_follows_its_file_and_ends_with_its_content(own, gguf):
    (own / "a.gguf").write_bytes(gguf(1))
    run_hasher(scan())
    before = hashed(scan())
    (own / "a.gguf").rename(own / "b.gguf")
    assert hashed(scan()) == {"b": before["a"]}
    assert hashed(scan()) == {"b": before["a"]}  # and once more, from what was kept
    (own / "b.gguf").write_bytes(gguf(2))
    assert hashed(scan()) == {"b": None}


def test_an_undone_deletion_brings_the_hash_back_and_months_later_it_is_forgotten(
    own, gguf, monkeypatch
):
    (own / "a.gguf").write_bytes(gguf(1))
    run_hasher(scan())
    (own / "a.gguf").rename(own.parent / "a.gguf")
    assert hashed(scan()) == {}
    (own.parent / "a.gguf").rename(own / "a.gguf")
    assert hashed(scan())["a"]
    (own / "a.gguf").rename(own.parent / "a.gguf")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100 * 86400)
    scan()
    (own.parent / "a.gguf").rename(own / "a.gguf")
    assert hashed(scan()) == {"a": None}


def test_a_stopped_hasher_keeps_what_it_has_done(own, gguf):
    for seed in range(3):
        (own / f"{seed}.gguf").write_bytes(gguf(seed))
    files = unhashed(scan())
    done = []
    hasher = Hasher(files[:1], lambda: done.append(True))
    hasher.stop()
    hasher.start()
    hasher.join(60)
    assert not done
    assert len(unhashed(scan())) == len(files)


HASH_FOREVER = """
import sys
from backend.library import scan
from backend.library.background import Hasher, unhashed
files = unhashed(scan())
files.sort(key=lambda file: file.size)
hasher = Hasher(files, lambda: None)
hasher.start()
hasher.join()
"""


def test_kill_9_loses_at_most_the_file_that_is_being_read(own, gguf):
    """The last file is sparse, and so large that it is still being read."""
    (own / "a.gguf").write_bytes(gguf(1))
    with (own / "huge.gguf").open("wb") as file:
        file.write(gguf(2))
        file.truncate(200 << 30)
    child = subprocess.Popen([sys.executable, "-c", HASH_FOREVER], env=os.environ.copy())
    wait_until_now(lambda: paths.database_file().exists() and hashed(scan()).get("a"))
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert hashed(scan())["a"] == hashlib.sha256(gguf(1)).hexdigest()
    assert [file.size for file in unhashed(scan())][-1] == 200 << 30


# Verifying


def test_every_store_is_checked_by_its_own_word(own, hub, ollama, gguf):
    hub.add("a/B", {"good.gguf": gguf(1)})
    ollama.add("bad:1b", gguf(2))
    blob = ollama.blob(gguf(2))
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    (own / "loose.gguf").write_bytes(gguf(3))

    found = check(scan())
    assert found["good.gguf"].state == "ok"
    assert found["loose.gguf"].state == "recorded"
    bad = found[blob.name]
    assert bad.state == "damaged"
    assert bad.expected == blob.name.removeprefix("sha256-")
    assert bad.sha256 == hashlib.sha256(content).hexdigest()

    models = {model.name: model for model in scan()}
    assert "damaged" in models["bad:1b"].error
    assert models["a/B/good.gguf"].error is None
    assert check(scan())["loose.gguf"].state == "ok"  # there is something to compare with now

    blob.write_bytes(gguf(2))
    assert check(scan())[blob.name].state == "ok"
    assert all(model.error is None for model in scan())


def test_a_loose_file_that_rots_is_found(own, gguf):
    path = own / "a.gguf"
    path.write_bytes(gguf())
    check(scan())
    status = path.stat()
    with path.open("r+b") as file:  # a bit flips, and nothing else of the file changes
        file.seek(-1, os.SEEK_END)
        file.write(b"\xa5")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert check(scan())["a.gguf"].state == "damaged"
    assert check(scan())["a.gguf"].state == "damaged"  # it does not become good by being seen


def test_every_part_of_a_split_model_is_checked(own, gguf):
    for number in range(2):
        (own / f"big-{number + 1:05}-of-00002.gguf").write_bytes(
            gguf(number, metadata={"split.count": 2, "split.no": number})
        )
    assert sum(name.startswith("big") for name in check(scan())) == 2
