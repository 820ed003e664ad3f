"""Base and tuned side by side, on a real engine, with what a real run has learned so far."""

import pytest
from ggufs import tiny_llama
from piloting import wait_until
from running import COLOURS, make_run, start, write_rows

from backend import paths
from backend.train.run import checkpoints
from tui.panes.run_table import RunTable
from tui.screens.beside import BesideScreen
from tui.screens.train import TrainScreen
from tui.state import Phase

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def one_thread(home):
    paths.settings_file().parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file().write_text("[engine]\nthreads = 1\n[chat]\ntemperature = 0.0\n")


def said(side) -> str:
    return side.said[-1].content


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_both_answer_the_same_question_each_in_its_way(app, tmp_path, size):
    base = tiny_llama(tmp_path / "tiny.gguf", hidden=32, ffn=48).path
    rows = write_rows(tmp_path / "notes.jsonl")
    run = make_run(paths.runs_dir() / "mine", base, rows, schedule={"max_steps": 40})
    process = start(run)
    process.join(100)
    assert process.exitcode == 0
    async with app.run_test(size=size) as pilot:
        await wait_until(pilot, lambda: app.runs.items, what="the run")
        await pilot.press("4")
        await wait_until(pilot, lambda: app.screen.query(RunTable) and app.screen.chosen)
        await pilot.press("c")
        await wait_until(pilot, lambda: isinstance(app.screen, BesideScreen))
        screen = app.screen
        await wait_until(pilot, lambda: app.engine.phase is Phase.READY, seconds=60, what="ready")
        assert app.engine.adapter == "mine"
        await pilot.press(*"item 1", "enter")
        await wait_until(
            pilot,
            lambda: screen.sides[1].said and not screen._answering,
            seconds=60,
            what="answers",
        )
        plain, tuned = screen.sides
        assert plain.said[0] == tuned.said[0]
        assert said(tuned) in COLOURS
        assert said(plain) not in COLOURS
        before = said(plain)
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: not screen.sides[0].said)
        await pilot.press(*"item 1", "enter")
        await wait_until(
            pilot, lambda: screen.sides[1].said and not screen._answering, seconds=60, what="again"
        )
        assert said(screen.sides[0]) == before  # the same seed, and the base has stayed the base
        await pilot.press("escape")
        assert isinstance(app.screen, TrainScreen)


async def test_a_run_that_still_trains_speaks_from_its_newest_checkpoint(app, tmp_path):
    base = tiny_llama(tmp_path / "tiny.gguf", hidden=32, ffn=48).path
    rows = write_rows(tmp_path / "notes.jsonl")
    run = make_run(paths.runs_dir() / "mine", base, rows, schedule={"max_steps": 20_000})
    process = start(run)
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("4")
            await wait_until(
                pilot, lambda: checkpoints.listed(run.checkpoints), seconds=60, what="a checkpoint"
            )
            await wait_until(pilot, lambda: app.screen.chosen and app.screen.chosen.status.step)
            await pilot.press("c")
            await wait_until(pilot, lambda: app.engine.phase is Phase.READY, seconds=60)
            first = app.screen._written.step
            assert first > 0
            assert app.runs.watched.state == "training"
            newer = lambda: checkpoints.listed(run.checkpoints)[0].step > first  # noqa: E731
            await wait_until(pilot, newer, seconds=60, what="a newer checkpoint")
            await pilot.press("ctrl+r")
            await wait_until(pilot, lambda: app.screen._written.step > first, what="the newer one")
            await wait_until(pilot, lambda: app.engine.phase is Phase.READY, seconds=60)
    finally:
        process.kill()
        process.join()
