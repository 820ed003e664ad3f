"""A run in a process of its own: what it tells, how it is stopped and goes on, what it leaves."""

import json
import math
import os
import signal
import time

import pytest
import torch
from ggufs import tiny_llama
from running import make_run, of, start, train, weights, write_rows
from waiting import wait_until_now

from backend.train import recipe as recipes
from backend.train.run import checkpoints
from backend.train.run.control import Wish, ask
from backend.train.run.events import EventLog, EventTail, read_all


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "tiny.gguf"
    tiny_llama(path, hidden=32, ffn=48)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "notes.jsonl")


@pytest.fixture(scope="module")
def done(base, data, tmp_path_factory):
    """A run that went from start to end."""
    run = make_run(
        tmp_path_factory.mktemp("runs") / "whole",
        base,
        data,
        data={"validation": 0.2},
        watch={"sample_every": 6, "evaluate_every": 4},
    )
    return run, train(run)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_it_tells_every_step_with_all_that_is_worth_knowing(done):
    _, events = done
    steps = of(events, "step")
    assert [e["step"] for e in steps] == list(range(1, 13))
    for e in steps:
        assert e["total"] == 12
        assert math.isfinite(e["loss"])
        assert e["grad_norm"] > 0
        assert e["tokens_per_second"] > 0
        assert e["rss"] > 1 << 20
    assert steps[-1]["eta_s"] == 0
    assert steps[0]["eta_s"] is None  # nothing to reckon from yet
    assert steps[5]["lr"] > steps[-1]["lr"]
    assert [e["step"] for e in of(events, "eval")] == [0, 4, 8, 12]
    assert [e["step"] for e in of(events, "sample")] == [6, 6, 12, 12]
    assert of(events, "sample")[0]["prompt"].startswith("item ")
    assert [e["step"] for e in of(events, "checkpoint")][-1] == 12
    names = [e["name"] for e in of(events, "phase")]
    assert names == [
        "starting",
        "libraries",
        "base",
        "data",
        "hashing",
        "loading",
        "training",
        "saving",
    ]


def test_it_ends_with_an_adapter_that_peft_loads(done, base):
    from peft import PeftModel

    from backend.train.bases.gguf import load_gguf

    run, events = done
    end = of(events, "done")[0]
    assert end["adapter"] == str(run.adapter)
    assert end["trainable_parameters"] == sum(t.numel() for t in weights(run).values())
    model = PeftModel.from_pretrained(load_gguf(base, torch.float32), run.adapter)
    assert model.peft_config["default"].r == 4
    assert model.peft_config["default"].base_model_name_or_path == str(base)
    assert (run.adapter / "tokenizer.json").exists()
    assert "<|im_start|>" in (run.adapter / "chat_template.jinja").read_text()
    assert not [
        p for p in run.path.rglob("*") if p.suffix in (".bin", ".pkl") or p.name == "README.md"
    ]


def test_its_recipe_says_everything_and_repeats_it(done, tmp_path):
    run, events = done
    filled = recipes.load(run.recipe)
    assert filled.technique.alpha == 8
    assert filled.schedule.threads == 1
    assert filled.watch.evaluate_every == 4
    again = tmp_path / "again"
    again.mkdir()
    (again / "run.toml").write_bytes(run.recipe.read_bytes())
    from backend.train.run.folder import RunFolder

    repeated = train(RunFolder(again))
    assert [e["loss"] for e in of(repeated, "step")] == [e["loss"] for e in of(events, "step")]
    assert same(weights(RunFolder(again)), weights(run))


def test_base_and_data_are_pinned(done, base, data):
    pins = json.loads(done[0].pins.read_text())
    assert pins["base"][str(base)]["sha256"] == checkpoints.file_hash(base)
    assert pins["data"][str(data)]["sha256"] == checkpoints.file_hash(data)
    assert pins["versions"]["torch"] == torch.__version__


def test_a_stopped_run_goes_on_and_ends_the_same_bit_for_bit(base, data, tmp_path):
    whole = make_run(tmp_path / "whole", base, data, schedule={"max_steps": 20})
    train(whole)
    run = make_run(tmp_path / "cut", base, data, schedule={"max_steps": 20})
    process = start(run)
    wait_until_now(lambda: len(of(read_all(run.events), "step")) >= 2, seconds=60, what="steps")
    ask(run, Wish.STOP)
    process.join(60)
    assert process.exitcode == 3
    events = read_all(run.events)
    assert events[-1]["event"] == "stopped"
    last = of(events, "step")[-1]["step"]
    assert of(events, "checkpoint")[-1]["step"] == last < 20
    events = train(run)
    assert [e["step"] for e in of(events, "step")] == list(range(1, 21))
    assert same(weights(run), weights(whole))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_and_stop(base, data, tmp_path, number):
    run = make_run(tmp_path / "r", base, data, schedule={"max_steps": 500})
    process = start(run)
    wait_until_now(lambda: of(read_all(run.events), "step"), seconds=60, what="steps")
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 3
    step = of(read_all(run.events), "step")[-1]["step"]
    assert checkpoints.newest(run.checkpoints)[0].step == step


def test_a_paused_run_waits_and_goes_on(base, data, tmp_path):
    run = make_run(tmp_path / "r", base, data, schedule={"max_steps": 40})
    ask(run, Wish.GO)
    process = start(run)
    wait_until_now(lambda: of(read_all(run.events), "step"), seconds=60, what="steps")
    ask(run, Wish.PAUSE)
    wait_until_now(
        lambda: of(read_all(run.events), "phase")[-1]["name"] == "paused",
        seconds=60,
        what="the pause",
    )
    before = len(of(read_all(run.events), "step"))
    cpu = _cpu_seconds(process.pid)
    time.sleep(0.5)  # that nothing happens can only be seen by waiting
    assert len(of(read_all(run.events), "step")) == before
    assert _cpu_seconds(process.pid) - cpu < 0.3
    ask(run, Wish.GO)
    process.join(60)
    assert process.exitcode == 0
    assert of(read_all(run.events), "step")[-1]["step"] == 40


def _cpu_seconds(pid):
    import psutil

    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def test_a_finished_run_can_be_trained_longer(base, data, tmp_path):
    run = make_run(tmp_path / "r", base, data, schedule={"max_steps": 6, "decay": "constant"})
    train(run)
    first = weights(run)
    recipe = recipes.load(run.recipe)
    recipe.schedule.max_steps = 12
    recipes.save(recipe, run.recipe)
    events = train(run)
    assert [e["step"] for e in of(events, "step")] == list(range(1, 13))
    assert not same(weights(run), first)
    whole = make_run(tmp_path / "w", base, data, schedule={"max_steps": 12, "decay": "constant"})
    train(whole)
    assert same(weights(run), weights(whole))


def test_a_damaged_checkpoint_is_passed_over(base, data, tmp_path):
    whole = make_run(tmp_path / "w", base, data)
    train(whole)
    run = make_run(tmp_path / "r", base, data)
    train(run)
    newest = checkpoints.listed(run.checkpoints)[0].path
    (newest / "optimizer.pt").write_bytes((newest / "optimizer.pt").read_bytes()[:-10])
    import shutil

    shutil.rmtree(run.adapter)
    events = train(run)
    assert any("checkpoint-12 is damaged" in e["message"] for e in of(events, "warning"))
    assert of(events, "phase")[-2]["resumed_from"] == 9
    assert same(weights(run), weights(whole))


@pytest.mark.parametrize("which", ["base", "data"])
def test_another_base_or_data_is_not_resumed_upon(base, data, tmp_path, which):
    mine = tmp_path / "tiny.gguf", tmp_path / "notes.jsonl"
    mine[0].write_bytes(base.read_bytes())
    mine[1].write_bytes(data.read_bytes())
    run = make_run(tmp_path / "r", *mine, schedule={"max_steps": 2})
    train(run)
    if which == "base":
        changed = bytearray(mine[0].read_bytes())
        changed[-100] ^= 1
        mine[0].write_bytes(changed)
    else:
        write_rows(mine[1], 30)
    end = train(run, expect=1)[-1]
    assert end["event"] == "error"
    assert end["kind"] == f"{which}_changed"


def test_data_that_is_gone_is_no_hindrance(base, data, tmp_path):
    mine = tmp_path / "notes.jsonl"
    mine.write_bytes(data.read_bytes())
    run = make_run(tmp_path / "r", base, mine, schedule={"max_steps": 2})
    train(run)
    mine.unlink()
    recipe = recipes.load(run.recipe)
    recipe.schedule.max_steps = 3
    recipes.save(recipe, run.recipe)
    assert train(run)[-1]["event"] == "done"


def test_a_loss_that_is_no_number_ends_the_run_which_can_be_resumed(base, data, tmp_path):
    run = make_run(
        tmp_path / "r", base, data, technique={"name": "sft"}, save={"every": 1},
        schedule={"learning_rate": 1.0, "max_grad_norm": 0.0, "max_steps": 200, "warmup": 0.5},
    )  # fmt: skip
    recipe = recipes.load(run.recipe)
    recipe.schedule.weight_decay = 1e30  # the weights overflow
    recipes.save(recipe, run.recipe)
    events = train(run, expect=1)
    assert events[-1]["event"] == "error"
    assert events[-1]["kind"] == "nan_loss"
    assert "smaller learning rate" in events[-1]["hint"]
    assert not run.adapter.exists()


def test_memory_that_runs_out_is_told_and_the_run_goes_on_with_less(tmp_path):
    wide = tiny_llama(tmp_path / "wide.gguf", hidden=256, ffn=1024, layers=4).path
    rows = tmp_path / "rows.txt"
    rows.write_text("\n\n".join(f"{i} " + "a ring of red and green " * 40 for i in range(64)))
    run = make_run(
        tmp_path / "r", wide, rows, data={"max_length": 256},
        schedule={"batch": 64, "max_steps": 3}, save={"every": 1},
    )  # fmt: skip
    events = train(run, memory=600 << 20, expect=1)
    assert events[-1]["event"] == "error"
    assert events[-1]["kind"] == "out_of_memory"
    assert "smaller batch" in events[-1]["hint"]
    assert not of(events, "step")
    recipe = recipes.load(run.recipe)
    recipe.schedule.batch, recipe.schedule.accumulation = 2, 2
    recipes.save(recipe, run.recipe)
    assert train(run, memory=600 << 20)[-1]["event"] == "done"


def test_a_second_process_is_refused(base, data, tmp_path):
    run = make_run(tmp_path / "r", base, data, schedule={"max_steps": 500})
    process = start(run)
    wait_until_now(run.is_running, seconds=60, what="the lock")
    assert run.pid() == process.pid
    assert not of(train(run, expect=1), "error")
    assert "running already" in run.log.read_text()
    wait_until_now(lambda: of(read_all(run.events), "step"), seconds=60, what="steps")
    ask(run, Wish.STOP)
    process.join(60)
    assert not run.is_running()
    assert run.pid() is None


def test_a_full_disk_keeps_the_last_good_checkpoint(base, data, tmp_path):
    """Writes fail from a size on, as they do when a disk has no room: the event log still has some."""
    small = make_run(tmp_path / "r", base, data, save={"every": 4, "keep": 1})
    events = train(small, limit=16_000, expect=1)
    warnings = [e["message"] for e in of(events, "warning") if "could not be saved" in e["message"]]
    assert len(warnings) == 3
    assert "the disk is full" in warnings[0]
    assert events[-1]["kind"] == "disk_full"
    assert not checkpoints.listed(small.checkpoints)
    assert not list(small.checkpoints.glob(".saving*"))
    # one is there, then the disk fills: it stays, and is what the run goes on from
    run = make_run(tmp_path / "s", base, data, schedule={"max_steps": 3}, save={"every": 3})
    train(run)
    recipe = recipes.load(run.recipe)
    recipe.schedule.max_steps = 9
    recipes.save(recipe, run.recipe)
    train(run, limit=16_000, expect=1)
    assert checkpoints.newest(run.checkpoints)[0].step == 3
    assert train(run)[-1]["event"] == "done"


def test_early_stopping_takes_the_best(base, data, tmp_path):
    run = make_run(
        tmp_path / "r", base, data, data={"validation": 0.3},
        schedule={"max_steps": 400, "learning_rate": 0.3, "decay": "constant"},
        watch={"evaluate_every": 1, "patience": 2},
    )  # fmt: skip
    events = train(run)
    losses = {e["step"]: e["loss"] for e in of(events, "eval") if e["step"]}
    end = of(events, "done")[0]
    assert max(losses) < 400
    assert end["best_step"] == min(losses, key=losses.get)
    assert any("Stopped early" in e["message"] for e in of(events, "warning"))
    from safetensors.torch import load_file

    best = load_file(run.checkpoints / f"checkpoint-{end['best_step']}/adapter_model.safetensors")
    assert same(weights(run), best)


ERRORS = {
    "a base that is not there": ({"base": "/no/such.gguf"}, "not_found"),
    "rows that cannot be used": ({"rows": "{broken\n"}, "bad_rows"),
    "a target that is not there": ({"targets": ["w_q"]}, "bad_targets"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_trained_is_an_event_with_its_reason(base, data, tmp_path, name):
    wrong, kind = ERRORS[name]
    rows = tmp_path / "rows.jsonl"
    rows.write_text(wrong.get("rows", data.read_text()))
    targets = wrong.get("targets", "all-linear")
    run = make_run(tmp_path / "r", wrong.get("base", base), rows, technique={"targets": targets})
    end = train(run, expect=1)[-1]
    assert (end["event"], end["kind"]) == ("error", kind)
    assert end["message"]
    assert end["hint"]


def test_events_survive_a_line_that_was_cut(tmp_path):
    path = tmp_path / "events.jsonl"
    EventLog(path).add("step", step=1, loss=float("nan"))
    with path.open("ab") as file:
        file.write(b'{"event": "st')
    EventLog(path).add("step", step=2)
    assert [e["step"] for e in read_all(path)] == [1, 2]
    assert read_all(path)[0]["loss"] is None
    tail = EventTail(path)
    assert len(tail.read()) == 2
    assert tail.read() == []
    EventLog(path).add("done")
    assert [e["event"] for e in tail.read()] == ["done"]
