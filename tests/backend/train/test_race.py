"""A race: real runs of several techniques, one after another, ranked by what counts."""

import json

import pytest
from ggufs import tiny_llama
from running import write_rows

from backend.errors import SternaError
from backend.train import race
from backend.train import recipe as recipes
from backend.train.begin import make_folder
from backend.train.recipe import Base, Data, Recipe, Schedule, Watch
from backend.train.run import status as statuses
from backend.train.run.events import EventLog
from backend.train.run.folder import RunFolder
from backend.train.run.removal import purge, remove, restore
from tui.cli import main


@pytest.fixture
def recipe(home, tmp_path):
    base = tiny_llama(tmp_path / "tiny.gguf", hidden=32, ffn=48).path
    return Recipe(
        name="duel",
        base=Base(model=str(base), device="cpu"),
        data=Data(path=str(write_rows(tmp_path / "notes.jsonl")), validation=0.2, max_length=64),
        schedule=Schedule(max_steps=4, batch=2, threads=1),
        watch=Watch(sample_every=-1),
    )


@pytest.mark.timeout(300)
def test_runs_train_in_turn_and_one_that_fails_keeps_nobody(recipe):
    runs, process = race.begin_race(recipe, ["vera", "lora", "lora-fa"])
    runs[0].recipe.write_text("no recipe")
    EventLog(runs[2].events).add("done", step=1, bytes=1)  # has had its turn
    assert [run.name for run in runs] == ["duel-vera", "duel-lora", "duel-lora-fa"]
    assert process.wait(240) == 0
    states = [statuses.status(run) for run in runs]
    assert [s.state for s in states] == ["failed", "done", "done"]
    assert states[1].started >= states[0].updated
    assert states[1].step == 4
    assert states[2].step == 0


def test_runs_of_the_same_data_are_ranked_on_held_out_rows(recipe, capsys):
    for name, loss in (("lora", 2.0), ("vera", 1.0), ("lora-fa", None)):
        log = EventLog(make_folder(race._entrant(recipe, name)).events)
        log.add("step", step=1, total=1, loss=3.0, peak=10, rss=9)
        log.add("eval", step=1, loss=loss)
        log.add("done", step=1, bytes=7, peak=11)
    other = make_folder(race._entrant(recipe, "lora-plus"))
    changed = recipes.load(other.recipe)
    changed.data.max_length = 99
    recipes.save(changed, other.recipe)  # other data: no rival
    assert main(["runs", "duel-lora", "--compare", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["runs"]
    assert [row["technique"] for row in said] == ["vera", "lora", "lora-fa"]
    assert said[0]["adapter_bytes"] == 7
    assert said[0]["peak_memory"] == 11
    assert said[0]["losses"] == [[1, 3.0]]
    assert main(["runs", "duel-lora", "--compare"]) == 0
    assert "HELD OUT" in capsys.readouterr().out


def test_each_technique_has_its_own_numbers(recipe):
    recipe.technique.rank = 4
    recipe.schedule.learning_rate = 0.5
    own = race._entrant(recipe, "lora")
    other = race._entrant(recipe, "vera")
    assert own.technique.rank == 4
    assert own.schedule.learning_rate == 0.5
    assert other.technique.rank == 0  # by the model's size, in VeRA's measure
    assert other.schedule.learning_rate == 0
    assert other.schedule.max_steps == own.schedule.max_steps


@pytest.mark.parametrize("names", [["lora"], ["lora", "lora"]])
def test_a_race_takes_two(recipe, names):
    with pytest.raises(SternaError, match="two techniques"):
        race.begin_race(recipe, names)


def test_a_run_that_was_deleted_comes_back_until_the_next_is(home, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.toml").write_text("x")
    hidden = remove(RunFolder(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    assert (restore(hidden).path / "run.toml").read_text() == "x"
    hidden = remove(RunFolder(tmp_path / "a"))
    remove(RunFolder(tmp_path / "b"))
    with pytest.raises(SternaError):
        restore(hidden)
    purge(tmp_path)
    assert not list(tmp_path.iterdir())
    with RunFolder(tmp_path).held(), pytest.raises(SternaError, match="running"):
        remove(RunFolder(tmp_path))
