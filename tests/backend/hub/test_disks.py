"""Disks that are full, fill up, or may not be written: told in one sentence, and nothing is lost."""

import contextlib
import shutil
import subprocess

import pytest
from downloading import DATA, NAME, PIECE, SHA, Fetch, failure, journalled, order, overlaps

from backend.errors import SternaError
from backend.hub import partial
from backend.hub.cache import blob_path
from backend.hub.room import Room


@pytest.fixture
def mount(tmp_path):
    """Return a function that mounts a small file system in memory; skips where that is not allowed."""
    with contextlib.ExitStack() as undo:

        def mounted(size, *options):
            place = tmp_path / "disk"
            place.mkdir()
            flags = ",".join((f"size={size}", *options))
            command = ["mount", "-t", "tmpfs", "-o", flags, "tmpfs", str(place)]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("only root may mount a small disk")
            undo.callback(subprocess.run, ["umount", "-l", str(place)], check=True)
            return place

        yield mounted


def test_a_disk_that_is_too_small_is_told_before_a_byte_is_fetched(hub, mount, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(mount(1 << 20)))
    error = failure(Fetch())
    assert error.kind == "disk_full"
    assert "free" in error.message
    assert not hub.served()


def test_a_disk_that_fills_up_on_the_way(hub, mount, monkeypatch):
    place = mount(len(DATA) + (17 << 20))
    monkeypatch.setenv("HF_HOME", str(place))
    hub.rate = 700_000
    fetch = Fetch()
    tell = fetch._download._tell

    def fill(event):
        tell(event)
        if event["event"] == "progress" and event["bytes"] > len(DATA) // 3:
            fetch._download._tell = tell
            with (place / "other").open("wb") as other, contextlib.suppress(OSError):
                while True:
                    other.write(bytes(64 << 10))
                    other.flush()

    fetch._download._tell = fill
    assert failure(fetch).kind == "disk_full"
    finished = journalled()
    assert finished
    (place / "other").unlink()
    hub.rate = None
    seen = len(hub.requests)
    (file,) = Fetch().run()
    assert file.path.read_bytes() == DATA
    assert not overlaps([r for r in hub.requests[seen:] if r.host == "cdn"], finished)


def test_a_file_system_that_takes_no_such_file(hub, mount, monkeypatch):
    """Here the limit of the process plays the quota."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA) // 2, before[1]))
    try:
        error = failure(Fetch())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.kind == "disk_full"
    assert Fetch().run()[0].sha256 == SHA


def test_a_cache_that_cannot_be_written(hub, mount, monkeypatch):
    place = mount(32 << 20)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    monkeypatch.setenv("HF_HOME", str(place))
    error = failure(Fetch())
    assert error.kind == "read_only"
    assert str(place) in error.message
    assert not hub.served()


def test_what_lies_in_a_cache_that_cannot_be_written_can_be_used(hub, mount, monkeypatch):
    place = mount(32 << 20)
    monkeypatch.setenv("HF_HOME", str(place))
    (first,) = Fetch().run()
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    (again,) = Fetch().run()
    assert (again.path, again.sha256) == (first.path, SHA)


def test_a_cache_on_another_disk_than_the_same_content(hub, mount, monkeypatch, home):
    blobs = home / "ollama" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256-{SHA}").write_bytes(DATA)
    monkeypatch.setenv("HF_HOME", str(mount(32 << 20)))
    (file,) = Fetch().run()
    assert file.path.read_bytes() == DATA
    assert blob_path(NAME, SHA).is_symlink()
    assert not hub.served()


def test_two_downloads_that_only_fit_one_by_one(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    room = Room()
    room.claim("first", tmp_path, free // 2)
    with pytest.raises(SternaError) as caught:
        room.claim("second", tmp_path / "not" / "there", free // 2)
    assert caught.value.kind == "disk_full"
    room.release("first")
    room.claim("second", tmp_path, free // 2)


def test_a_folder_in_the_place_of_the_partial_file(hub):
    wanted = order()
    partial.partial_path(blob_path(NAME, SHA)).mkdir(parents=True)
    assert failure(Fetch(wanted)).kind == "disk_error"


def test_leftovers_are_known_and_go_when_they_are_told_to(hub):
    hub.rate = 1_000_000
    Fetch(stop_at=len(DATA) // 2).run()
    blob = blob_path(NAME, SHA)
    assert partial.fetched_bytes(blob) >= len(DATA) // 2 - 4 * PIECE
    assert partial.discard(blob) > 0
    assert not list(blob.parent.iterdir())
    assert partial.fetched_bytes(blob) == 0
