"""Runs are kept by several processes, and outlive what damages their file."""

import subprocess
import sys

from backend import paths
from backend.machine import history
from backend.machine.history import Run


def run(key="k", prompt=50.0, answer=10.0, threads=2, **more):
    facts = {
        "at": 1.0,
        "cpu": "c",
        "isa": "i",
        "context": 100,
        "weights": {"Q4_K": 1e9},
        "layers": 8,
    }
    return Run(key=key, prompt=prompt, answer=answer, threads=threads, **(facts | more))


def kept():
    return history.runs("c", "i", 2)


def test_typical_is_the_median_of_the_last_runs():
    for answer in (1, 1, 1, 1, 9, 10, 11, 10, 12, 10, 9, 10):
        history.note(run(answer=float(answer)))
    history.note(run(key="other", answer=99.0))
    assert history.typical(kept(), "k") == (50.0, 10.0, 8)
    assert history.typical(kept(), "none") is None


def test_another_processor_or_number_of_threads_does_not_count():
    history.note(run(threads=4))
    history.note(run(cpu="d"))
    assert kept() == []


def test_short_runs_tell_nothing():
    assert history.rates((10, 1.0), (5, 1.0)) == (0.0, 0.0)
    assert history.rates((100, 2.0), (32, 4.0)) == (50.0, 8.0)
    assert history.rates((100, 0.0), (32, 0.0)) == (0.0, 0.0)
    history.note(run(prompt=0.0, answer=0.0))
    assert kept() == []


def test_a_damaged_line_costs_only_itself():
    history.note(run())
    file = paths.cache_dir() / "runs.jsonl"
    file.write_bytes(b"{nonsense\n" + file.read_bytes() + b'["cut sho')
    assert len(kept()) == 1
    history.note(run())  # on a line that was cut short
    history.note(run())
    assert len(kept()) == 2


def test_the_file_is_cut_when_it_grows_long(monkeypatch):
    monkeypatch.setattr(history, "_MOST_BYTES", 20_000)
    monkeypatch.setattr(history, "_KEPT", 30)
    for n in range(300):
        history.note(run(answer=float(n + 1), weights={"x" * 400: 1.0}))
    assert 30 <= len(kept()) <= 50
    assert kept()[-1].answer == 300
    assert (paths.cache_dir() / "runs.jsonl").stat().st_size <= 21_000


def test_processes_add_lines_at_once(home):
    code = (
        "from backend.machine import history\n"
        "for n in range(200): history.note(history.Run(at=1.0, key='k', cpu='c', isa='i', threads=2,"
        " context=1, prompt=1.0, answer=1.0 + n, weights={'Q4_K': 1e9}, layers=3))"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert all(job.wait(60) == 0 for job in jobs)
    assert len(kept()) == 800


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(paths, "cache_dir", lambda: tmp_path / "file" / "below")
    history.note(run())
    assert kept() == []
