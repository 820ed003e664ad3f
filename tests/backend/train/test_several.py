"""Several processes that train one run together, on a processor over gloo."""

import pytest
from ggufs import tiny_llama
from running import make_run, write_rows

from backend.train.run import child
from backend.train.run.events import read_all


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_processes_are_one_with_twice_the_batch(home, tmp_path):
    base = tiny_llama(tmp_path / "tiny.gguf", hidden=32, ffn=48).path
    rows = write_rows(tmp_path / "notes.jsonl")
    losses = []
    for processes, batch in ((1, 4), (2, 2)):
        run = make_run(
            tmp_path / f"run-{processes}",
            base,
            rows,
            schedule={"batch": batch, "max_steps": 8, "processes": processes},
            data={"validation": 1 / 6},  # 20 rows to learn from: no batch is filled up
        )
        assert child.start(run, processes).wait(280) == 0, run.log.read_text()[-3000:]
        events = read_all(run.events)
        assert events[-1]["event"] == "done"
        assert run.adapter.is_dir()
        losses.append([e["loss"] for e in events if e["event"] == "step"])
    assert len(losses[0]) == len(losses[1]) == 8
    assert losses[1] == pytest.approx(losses[0], abs=2e-4)
