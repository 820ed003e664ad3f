"""kill -9 at any moment, inside saves too: the run goes on and ends as one that was never killed."""

import os
import random
import signal
import time

import pytest
import torch
from ggufs import tiny_llama
from running import make_run, of, start, train, weights, write_rows
from waiting import wait_until_now

from backend.train.run import checkpoints
from backend.train.run.events import read_all

STEPS = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    tiny_llama(folder / "tiny.gguf", hidden=32, ffn=48)
    return folder, write_rows(folder / "notes.jsonl", 48)


def make(world, path, **technique):
    folder, rows = world
    return make_run(
        path, folder / "tiny.gguf", rows, technique=technique, schedule={"max_steps": STEPS},
        data={"validation": 0.1}, watch={"evaluate_every": 7, "sample_every": 9}, save={"every": 2},
    )  # fmt: skip


def killed(run, moment):
    """Start the run and kill it when `moment` says so; return whether it was killed in a save."""
    before = len(read_all(run.events))
    process = start(run)
    moment(run, process, before)
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    return any(run.checkpoints.glob(".saving*"))


def in_a_save(run, process, before):
    wait_until_now(
        lambda: any(run.checkpoints.glob(".saving*/*/*")) or not process.is_alive(), seconds=60
    )


def sometime(rng):
    def moment(run, process, before):
        wait_until_now(
            lambda: (
                len(read_all(run.events)) > before + rng.randint(0, 12) or not process.is_alive()
            ),
            seconds=60,
        )
        time.sleep(rng.random() * 0.15)  # any moment of a step, a save or an evaluation

    return moment


def survives(world, tmp_path, kills, **technique):
    """Kill a run `kills` times; return in how many saves it was killed. It must end as a whole one."""
    whole = make(world, tmp_path / "whole", **technique)
    train(whole)
    rng = random.Random(4)
    run = make(world, tmp_path / "killed", **technique)
    in_saves = sum(killed(run, in_a_save if i % 3 == 0 else sometime(rng)) for i in range(kills))
    events = train(run)
    assert events[-1]["event"] == "done"
    wanted, got = weights(whole), weights(run)
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[k], got[k]) for k in wanted)
    last = {e["step"]: e["loss"] for e in of(events, "step")}
    assert last == {e["step"]: e["loss"] for e in of(read_all(whole.events), "step")}
    assert checkpoints.newest(run.checkpoints)[0].step == STEPS
    return in_saves


def test_a_few_kills_change_nothing(world, tmp_path):
    assert survives(world, tmp_path, 4, name="lora", dropout=0.1) >= 1


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "technique",
    [
        {"name": "lora", "dropout": 0.1},
        {"name": "delta-lora", "start_step": 11},
        {"name": "vera", "rank": 8},
        {"name": "sft"},
    ],
    ids=lambda t: t["name"],
)
def test_twenty_kills_change_nothing(world, tmp_path, technique):
    assert survives(world, tmp_path, 20, **technique) >= 3
