"""A new file is there whole or not at all."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend import files
from backend.errors import SternaError
from backend.files import whole_file


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, data=b"new", expected=3):
    with whole_file(path, expected) as file:
        file.write(data)


@pytest.fixture(params=["unnamed", "named"])
def way(request, monkeypatch):
    """Both ways of keeping a file out of sight until it is whole."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no unnamed files")
    return request.param


def test_a_whole_file_takes_its_name(tmp_path, way):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"old")
    with whole_file(path, 3) as file:
        file.write(b"ne")
        assert path.read_bytes() == b"old"
        file.write(b"w")
    assert path.read_bytes() == b"new"
    assert listing(tmp_path) == ["model.gguf"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SternaError])
def test_what_fails_leaves_nothing(tmp_path, way, error):
    path = tmp_path / "model.gguf"
    raised = error("kind", "message") if error is SternaError else error()

    def half():
        with whole_file(path, 10) as file:
            file.write(b"half")
            raise raised

    with pytest.raises(error):
        half()
    assert listing(tmp_path) == []


def test_a_killed_program_leaves_nothing(tmp_path):
    script = (
        "import sys; from pathlib import Path; from backend.files import whole_file\n"
        "with whole_file(Path(sys.argv[1]), 4) as f:\n"
        "    f.write(b'half'); f.flush(); print('written', flush=True); sys.stdin.read()\n"
    )
    path = tmp_path / "model.gguf"
    process = subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"written\n"
    if hasattr(os, "O_TMPFILE"):
        assert listing(tmp_path) == []
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not path.exists()


def test_a_disk_without_room_is_told_before(tmp_path):
    with pytest.raises(SternaError, match="free") as told:
        write(tmp_path / "x", expected=1 << 62)
    assert told.value.kind == "disk_full"
    assert listing(tmp_path) == []


def test_a_file_that_grows_past_what_is_allowed(tmp_path, way):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(SternaError) as told:
            write(tmp_path / "x", bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert told.value.kind == "disk_full"
    assert listing(tmp_path) == []


def test_a_full_disk_is_told():
    assert files._failure(Path("/x"), OSError(errno.ENOSPC, "full")).kind == "disk_full"


def test_places_that_take_no_file(tmp_path):
    for path, kind in ((tmp_path, "unwritable"), (tmp_path / "no" / "x", "not_found")):
        with pytest.raises(SternaError) as told:
            write(path)
        assert told.value.kind == kind
