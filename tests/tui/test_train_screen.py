"""Train: the menu, real runs of tiny models in their processes, and the run beside other modes."""

import json
from dataclasses import replace

import pytest
from ggufs import tiny_llama
from piloting import wait_until
from running import write_rows
from textual.widgets import Input, Static

from backend import paths
from backend.machine import GPU
from backend.train import recipe as recipes
from backend.train.begin import begin
from backend.train.recipe import Base, Data, Recipe, Schedule, Watch
from backend.train.run import child
from tui.draft import Draft
from tui.panes.run_pane import RunFold, RunPane
from tui.panes.run_table import RunTable
from tui.panes.train_menu import TrainMenu
from tui.screens.choose import ChooseScreen
from tui.screens.preview import PreviewScreen
from tui.screens.race import RaceScreen
from tui.screens.run import RunScreen
from tui.screens.train import TrainScreen

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def base(home):
    """A tiny model in the library."""
    paths.models_dir().mkdir(parents=True)
    tiny_llama(paths.models_dir() / "tiny.gguf", hidden=32, ffn=48)
    return paths.models_dir() / "tiny.gguf"


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "notes.jsonl")


def text(widget) -> str:
    return str(widget.query_one(Static).content)


def said(app, selector) -> str:
    return str(app.screen.query_one(selector, Static).content)


def menu(app) -> TrainMenu:
    return app.screen.query_one(TrainMenu)


async def open_train(pilot, name="tiny"):
    """Choose a model in Models and press t."""
    app = pilot.app
    await wait_until(pilot, lambda: app.library.scanned, what="the library")
    await pilot.press("slash", *name, "enter", "t")
    await wait_until(
        pilot, lambda: isinstance(app.screen, TrainScreen) and app.screen.draft.shape, what="Train"
    )


async def choose(pilot, path):
    """Type a path into the open choice and take it."""
    app = pilot.app
    await wait_until(pilot, lambda: isinstance(app.screen, ChooseScreen), what="the choice")
    app.screen.query_one(Input).value = str(path)
    await pilot.press("enter")
    await wait_until(pilot, lambda: isinstance(app.screen, TrainScreen))


def watched(app):
    return app.runs.watched


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_menu_tells_what_it_will_take_before_anything_begins(app, base, rows, size):
    async with app.run_test(size=size) as pilot:
        await open_train(pilot)
        assert "tiny" in text(menu(app))
        assert "with LoRA, rank 8, 2 epochs" in said(app, "#title")
        await pilot.press("enter")  # data is missing: enter asks for it
        await choose(pilot, rows)
        draft = app.screen.draft
        await wait_until(pilot, lambda: draft.seen and draft.estimate, what="data and estimate")
        await wait_until(pilot, lambda: "24 rows" in text(menu(app)))
        first = draft.estimate.trainable_parameters
        assert "fits" in said(app, "#estimate")
        assert "6 steps" not in said(app, "#estimate")
        assert "12 steps" in said(app, "#estimate")  # 23 rows, four at once, twice
        await pilot.press("home", "down", "down", "down", "right")  # rank 16
        await wait_until(pilot, lambda: draft.estimate.trainable_parameters == 2 * first)
        assert "rank 16" in said(app, "#title")
        await pilot.press("up", "right")  # LoRA-FA, its own default rank
        await wait_until(pilot, lambda: draft.estimate.trainable_parameters < first)
        assert "A frozen" in text(menu(app))
        await pilot.press("b")
        assert draft.recipe.schedule.batch == 23  # all rows fit
        await pilot.press("p")
        await wait_until(pilot, lambda: isinstance(app.screen, PreviewScreen))
        shown = app.screen.query_one("#preview Static", Static).content
        assert "item 0" in str(shown)
        styles = {str(span.style) for span in shown.spans}
        assert {"dim", "bold"} <= styles  # what is read and what is learned
        await pilot.press("escape")
        assert isinstance(app.screen, TrainScreen)


async def test_nothing_is_told_of_rows_that_are_still_being_read(app, base, rows, monkeypatch):
    told = []
    lines = Draft.estimate_lines

    def recorded(draft, width):
        told.append("\n".join(lines(draft, width)))
        return told[-1].split("\n")

    monkeypatch.setattr(Draft, "estimate_lines", recorded)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_train(pilot)
        draft = app.screen.draft
        await wait_until(pilot, lambda: draft.estimate, what="the estimate of assumed rows")
        assert "if there are 1,000 rows of 1,024 tokens" in said(app, "#estimate")
        told.clear()
        await pilot.press("enter")
        await choose(pilot, rows)
        await wait_until(pilot, lambda: draft.seen and draft.estimate, what="data and estimate")
        assert "12 steps" in said(app, "#estimate")
        after = told[next(i for i, text in enumerate(told) if "being read" in text) :]
        assert not any("if there are" in text for text in after)
        assert all("12 steps" in text for text in after if "steps" in text)


async def test_every_choice_can_be_typed_and_wrong_ones_are_told(app, base):
    async with app.run_test(size=(120, 40)) as pilot:
        await open_train(pilot)
        assert "dropout" not in text(menu(app))
        await pilot.press("m")
        assert "dropout" in text(menu(app))
        menu(app).go_to("technique.dropout")
        await pilot.press("space", "delete", "2", "enter")
        await wait_until(pilot, lambda: app._notifications, what="a complaint")
        assert app.screen.draft.recipe.technique.dropout == 0
        await pilot.press("space")
        app.screen.query_one(Input).value = "0.25"
        await pilot.press("enter")
        assert app.screen.draft.recipe.technique.dropout == 0.25
        menu(app).go_to("technique.name")
        await pilot.press("right", "right", "right", "right")
        assert app.screen.draft.recipe.technique.name == "delta-lora"
        assert app.screen.draft.recipe.technique.dropout == 0  # it has none
        assert "lambda" in text(menu(app))
        await pilot.press("y")
        assert "--technique delta-lora" in app.clipboard


async def test_unusual_columns_can_be_said(app, base, tmp_path):
    rows = tmp_path / "odd.jsonl"
    rows.write_text("".join(json.dumps({"q": f"item {i}", "a": "red"}) + "\n" for i in range(9)))
    async with app.run_test(size=(120, 40)) as pilot:
        await open_train(pilot)
        await pilot.press("enter")
        await choose(pilot, rows)
        draft = app.screen.draft
        await wait_until(pilot, lambda: draft.data_error, what="the refusal")
        await pilot.press("m")
        menu(app).go_to("data.columns")
        await pilot.press("space")
        app.screen.query_one(Input).value = "prompt=q, completion=a"
        await pilot.press("enter")
        await wait_until(pilot, lambda: draft.seen, what="the data")
        assert "prompt=q, completion=a" in text(menu(app))
        assert "9 rows" in text(menu(app))


async def test_several_cards_are_offered_where_there_are_several(app, base):
    async with app.run_test(size=(120, 40)) as pilot:
        await open_train(pilot)
        machine = app.hardware.machine
        card = GPU("card", "nvidia", 8 << 30, 8 << 30, "nvidia-smi")
        for cards in (1, 2):
            app.hardware = replace(app.hardware, machine=replace(machine, gpus=(card,) * cards))
            app.screen.show_draft()
            assert ("devices" in text(menu(app))) is (cards == 2)
        menu(app).go_to("schedule.processes")
        await pilot.press("right")
        assert app.screen.draft.recipe.schedule.processes == 2


async def test_an_export_that_cannot_be_is_told(app, base, rows):
    async with app.run_test(size=(120, 40)) as pilot:
        recipe = Recipe(
            base=Base(model=str(base)), data=Data(path=str(rows)), schedule=Schedule(max_steps=2)
        )
        _folder, process = begin(recipe)
        await wait_until(pilot, lambda: process.poll() is not None, seconds=60, what="the run")
        base.unlink()
        await pilot.press("4")
        await wait_until(pilot, lambda: isinstance(app.screen, TrainScreen) and app.screen.chosen)
        await pilot.press("g")
        await wait_until(
            pilot, lambda: any("tiny.gguf" in n.message for n in app._notifications), what="why not"
        )


async def test_rows_that_cannot_be_used_are_named(app, base, tmp_path):
    lines = [{"prompt": "a", "completion": "b"}, {"prompt": "", "completion": ""}]
    bad = tmp_path / "bad.jsonl"
    bad.write_text("".join(json.dumps(line) + "\n" for line in lines))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_train(pilot)
        await pilot.press("enter")
        await choose(pilot, bad)
        draft = app.screen.draft
        await wait_until(pilot, lambda: draft.data_error, what="the refusal")
        await pilot.press("p")
        await wait_until(pilot, lambda: isinstance(app.screen, PreviewScreen))
        assert "row 2" in str(app.screen.query_one("#preview Static", Static).content)
        await pilot.press("escape", "enter")  # no start
        assert not app.runs.items
        assert not any(paths.runs_dir().glob("*"))


async def test_a_run_from_the_menu_is_seen_in_every_mode(app, base, rows):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_train(pilot)
        await pilot.press("enter")
        await choose(pilot, rows)
        await wait_until(pilot, lambda: app.screen.draft.seen)
        await pilot.press("enter")
        await wait_until(pilot, lambda: watched(app) and watched(app).active, what="a run")
        assert app.screen.query_one(RunTable).chosen is watched(app)
        await pilot.press("1")
        await wait_until(pilot, lambda: watched(app).status.step, seconds=120, what="a step")
        fold = app.screen.query_one(RunFold)
        await wait_until(pilot, lambda: fold.display and "step" in str(fold.content))
        await pilot.press("f4")
        pane = app.screen.query_one(RunPane)
        await wait_until(pilot, lambda: pane.display and "LoRA r=8" in text(pane))
        await pilot.press("f4", "4")
        await wait_until(pilot, lambda: watched(app).state == "done", seconds=120, what="its end")
        assert watched(app).status.step == 12
        assert watched(app).folder.adapter.is_dir()
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, RunScreen))
        whole = app.screen.query_one("#whole Static", Static)
        await wait_until(pilot, lambda: "held-out rows" in str(whole.content))
        await pilot.press("escape", "x")
        await wait_until(pilot, lambda: not app.runs.items, what="the deletion")
        await pilot.press("u")
        await wait_until(pilot, lambda: app.runs.items, what="the undo")


async def test_a_running_run_is_found_again_paused_stopped_and_goes_on(app, base, rows):
    recipe = Recipe(
        name="long",
        base=Base(model=str(base), device="cpu"),
        data=Data(path=str(rows)),
        schedule=Schedule(max_steps=4000, batch=1, threads=1),
        watch=Watch(sample_every=-1),
    )
    _, process = begin(recipe)  # as an app that has ended since
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("4")
            await wait_until(pilot, lambda: watched(app) and app.screen.chosen, what="the run")
            run = watched(app)
            await wait_until(pilot, lambda: run.state == "training", seconds=120)
            await pilot.press("p")
            await wait_until(pilot, lambda: run.state == "paused", what="the pause")
            held = run.status.step
            await pilot.press("p")
            await wait_until(pilot, lambda: run.status.step > held, what="steps after the pause")
            await pilot.press("s")
            await wait_until(pilot, lambda: run.state == "stopped", what="the stop")
            process.wait(30)
            before = run.status.step
            await pilot.press("l")
            app.screen.query_one(Input).value = str(before + 2)
            await pilot.press("enter")
            await wait_until(pilot, lambda: run.state == "done", seconds=120, what="its end")
            assert run.status.step == before + 2
            pane = app.screen.query_one(RunPane)
            await wait_until(pilot, lambda: pane.display and "✓ done" in text(pane))
            assert recipes.load(run.folder.recipe).schedule.max_steps == before + 2
    finally:
        process.kill()
        process.wait()


async def test_marked_techniques_race_and_are_compared(app, base, rows):
    async with app.run_test(size=(80, 24)) as pilot:
        await open_train(pilot)
        await pilot.press("enter")
        await choose(pilot, rows)
        await wait_until(pilot, lambda: app.screen.draft.seen)
        menu(app).go_to("technique.name")
        await pilot.press("space", "right", "right", "space")
        assert "with LoRA and VeRA in turn" in said(app, "#title")
        await pilot.press("enter")
        try:
            await wait_until(pilot, lambda: len(app.runs.items) == 2, what="two runs")
            assert {run.name for run in app.runs.items} == {"tiny-race-lora", "tiny-race-vera"}
            first = next(run for run in app.runs.items if run.name == "tiny-race-lora")
            await wait_until(pilot, lambda: first.active, seconds=60, what="the first one's turn")
            other = next(run for run in app.runs.items if run is not first)
            assert other.state == "new"  # it waits
            await wait_until(pilot, lambda: app.screen.chosen)
            await pilot.press("v")
            await wait_until(pilot, lambda: isinstance(app.screen, RaceScreen))
            table = app.screen.query_one("#whole Static", Static)
            await wait_until(
                pilot,
                lambda: "tiny-race-lora" in str(table.content) and "VeRA" in str(table.content),
            )
        finally:
            for process in app._run_keeper._children:
                process.terminate()
            for run in app.runs.items:
                child.kill(run.folder)
            for process in app._run_keeper._children:
                process.wait(60)


async def test_the_starter_comes_with_an_example(app, home):
    """t and enter are all that a first fine-tune takes."""
    async with app.run_test(size=(80, 24)) as pilot:
        await open_train(pilot, "starter")
        draft = app.screen.draft
        await wait_until(pilot, lambda: draft.seen and draft.estimate, what="data and estimate")
        assert not draft.missing
        assert draft.shape.ternary
        assert draft.seen["rows_total"] == 159
        assert draft.seen["refused"] == draft.seen["truncated"] == 0
        assert draft.estimate.steps == 38
