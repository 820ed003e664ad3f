"""This computer, recorded and replayed, and asked to be another."""

import json
import sys

import psutil
import pytest

from backend import paths, settings
from backend.errors import SternaError
from backend.machine import Recorder, Replay, assume, read_machine, suppose
from backend.machine.host import Local, whole_number
from backend.machine.memory import read_memory
from backend.units import parse_bytes, parse_count


def test_what_is_recorded_gives_the_same_machine_elsewhere():
    recorder = Recorder(Local())
    here = read_machine(recorder)
    there = read_machine(Replay(json.loads(json.dumps(recorder.record))))
    assert there == here
    assert here.cpu.cores >= 1
    assert 0 < here.memory.available <= here.memory.total <= psutil.virtual_memory().total


def test_a_host_never_fails(tmp_path):
    host = Local()
    assert host.text(str(tmp_path)) is None  # a folder
    assert host.text("/no\0thing") is None
    assert host.names("/nothing/here") == []
    assert host.output("sterna-no-such-command") is None
    assert host.output(sys.executable, "-c", "raise SystemExit(3)") is None
    assert host.output(sys.executable, "-c", "print(' 7 ')") == "7"
    assert host.ask("boom", lambda: 1 / 0) is None
    (tmp_path / "n").write_text("12\n")
    assert whole_number(host, str(tmp_path / "n")) == 12


def test_no_more_is_read_of_a_file_than_asked(tmp_path):
    (tmp_path / "long").write_text("x" * 5000)
    assert len(Local().text(str(tmp_path / "long"), 100)) == 100


def test_another_machine_by_its_memory():
    here = read_machine(Local())
    other = assume(here, ram=parse_bytes("32GB"), vram=parse_bytes("8GiB"))
    assert (other.memory.total, other.memory.available) == (32 * 10**9, 32 * 10**9)
    assert other.memory.probe == "given"
    assert [(g.total, g.free, g.probe) for g in other.gpus] == [(8 << 30, 8 << 30, "given")]
    assert other.assumed == ("ram", "vram")
    assert assume(here, vram=0).gpus == ()
    assert here.assumed == ()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8GB", 8 * 10**9),
        ("8 gib", 8 << 30),
        ("1.5G", 1_500_000_000),
        ("700", 700),
        ("64k", 64_000),
    ],
)
def test_sizes_as_people_write_them(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "8XB", "-1GB", "8iB", "1e9", "９GB", "nan", "9" * 400])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="is no"):
        parse_bytes(text)
    with pytest.raises(ValueError, match="is no"):
        parse_count(text)


def test_numbers_of_parameters():
    assert parse_count("8B") == 8 * 10**9
    assert parse_count("350m") == 350_000_000
    assert parse_count("0.6B") == 600_000_000


def test_memory_is_not_more_than_the_limit_of_the_process(monkeypatch):
    import resource

    used = psutil.Process().memory_info().vms
    limits = (used + (64 << 20), resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    assert read_memory().available <= 64 << 20


def test_another_machine_can_be_supposed_and_the_settings_set_right(home):
    found = read_machine()
    suppose(ram=32 * 10**9, vram=8 * 10**9)
    try:
        told = read_machine()
        assert told.assumed == ("ram", "vram")
        assert told.memory.available == 32 * 10**9
        assert [gpu.free for gpu in told.gpus] == [8 * 10**9]
        assert read_machine(Replay({})).assumed == ()  # a record is another machine already
    finally:
        suppose()
    assert read_machine().assumed == ()

    paths.settings_file().parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file().write_text('[machine]\nram = "5GB"\nvram = "0"\n')
    told = read_machine()
    assert (told.memory.available, told.gpus, told.assumed) == (5 * 10**9, (), ())
    assert told.memory.total == max(found.memory.total, 5 * 10**9)
    assert "settings" in told.memory.probe
    paths.settings_file().write_text('[machine]\nram = "much"\n')
    with pytest.raises(SternaError, match="no size"):
        settings.load()
    assert read_machine().memory.probe == found.memory.probe
