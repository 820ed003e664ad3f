"""Speeds measured by the real kernels, in short."""

import msgspec
import pytest

from backend import paths
from backend.machine import measuring, read_machine, speeds, trial_programs


@pytest.fixture
def short(monkeypatch):
    """Measure less, so that a test takes a moment."""
    monkeypatch.setattr(measuring, "_USUAL", ("Q4_K", "TQ2_0"))
    monkeypatch.setattr(speeds, "_stream", lambda: 1 << 20)
    monkeypatch.setattr(trial_programs, "_VOCABULARY", 1024)
    monkeypatch.setattr(measuring, "DEPTH", 130)
    monkeypatch.setattr(trial_programs, "DEPTH", 130)


def test_measured_once_and_kept(short):
    assert speeds.known() is None
    said = []
    first = speeds.measured(on_progress=said.append)
    assert len(said) == 1
    assert first.bandwidth > 1e8
    assert set(first.many) == {"Q4_K", "TQ2_0"}
    assert all(value > 0 for value in (*first.one.values(), *first.many.values()))
    for figure in ("normalise", "layer", "choose", "attend_bytes", "attend_one", "attend_many"):
        assert getattr(first, figure) > 0
    assert 0 <= first.spread < 10
    assert speeds.known() == first
    assert read_machine().bandwidth == first.bandwidth


def test_a_type_is_measured_when_it_is_asked_for(short):
    speeds.measured()
    said = []
    more = speeds.measured(["Q8_0", "head Q8_0", "I2_S", "IQ1_S", "no such type"], said.append)
    assert "measuring Q8_0" in said
    assert {"Q8_0", "Q4_K"} <= set(more.one)
    assert not {"I2_S", "IQ1_S"} & set(more.one)  # one is packed as TQ2_0, the other cannot be run
    assert speeds.rate(more.one, "I2_S") == more.one["TQ2_0"]
    assert speeds.rate(more.one, "head Q4_K") == more.one["Q4_K"]
    assert speeds.rate(more.one, "head Q6_K") == more.one["head Q6_K"] != more.one.get("Q6_K")
    assert more.one["head Q8_0"] > 0
    assert speeds.rate(more.one, "IQ1_S") is None


def test_figures_of_another_processor_or_version_are_void(short):
    kept = speeds.measured()
    file = paths.cache_dir() / "speeds.json"
    for change in ({"cpu": "another"}, {"isa": "other"}, {"threads": 999}, {"version": 0}):
        file.write_bytes(msgspec.json.encode({**msgspec.to_builtins(kept), **change}))
        assert speeds.known() is None
    file.write_text("{")
    assert speeds.known() is None


def test_figures_of_another_time_are_measured_again(short):
    kept = speeds.measured()
    kept.bandwidth /= 100
    speeds._keep(kept)
    assert speeds.measured().bandwidth == kept.bandwidth  # of these minutes
    kept.at -= 3600
    speeds._keep(kept)
    assert speeds.measured().bandwidth > 10 * kept.bandwidth


def test_slower_memory_counts_only_while_the_processor_is_ours(short, monkeypatch):
    kept = speeds.measured()
    kept.bandwidth *= 100
    kept.at -= 3600
    clock = iter([0.0, 1.0, 0.0, 1.0])
    rates = [2 * speeds.MEGABYTES * 1e6] * 2  # one second of reading in all
    monkeypatch.setattr(speeds.cpu, "read_bandwidth", lambda *_: rates)
    monkeypatch.setattr(speeds.time, "perf_counter", lambda: next(clock))
    spent = iter([0.0, 1.0 * kept.threads, 0.0, 0.5 * kept.threads])
    monkeypatch.setattr(speeds.time, "process_time", lambda: next(spent))
    assert speeds._changed(kept)
    assert not speeds._changed(kept)


def test_a_folder_that_cannot_be_written_is_no_failure(short, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(speeds.paths, "cache_dir", lambda: tmp_path / "file" / "below")
    assert speeds.measured().bandwidth > 0


@pytest.mark.parametrize(
    "name", ["Q4_0", "Q6_K", "IQ4_XS", "IQ2_S", "MXFP4", "F16", "F32", "BF16", "I2_S"]
)
def test_every_type_that_the_engine_runs_can_be_tried(short, name):
    assert trial_programs.can_multiply(name)
    one, many = measuring.more([name], speeds.measured(), 1)[name]
    assert one > 0
    assert many > 0


def test_a_type_that_comes_later_is_told_as_if_it_had_been_there_at_first(short):
    """Others that slow the machine down by then slow no type against those that have figures."""
    kept = speeds.measured()
    alone = measuring.more(["Q4_0"], kept, 1 << 20)["Q4_0"]
    for figures in (kept.one, kept.many):
        figures.update({name: 10 * value for name, value in figures.items()})
    beside = measuring.more(["Q4_0"], kept, 1 << 20)["Q4_0"]
    for now, then in zip(beside, alone, strict=True):
        assert 2 < now / then < 50  # ten, as far as a busy machine lets it
