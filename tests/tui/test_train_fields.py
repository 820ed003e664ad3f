"""What can be chosen before a run: each field steps, is typed, and is said to the command line."""

import shlex

import pytest

from backend.errors import SternaError
from backend.train import recipe as recipes
from tui import train_fields
from tui.commands import training_options
from tui.draft import FLAGS, Draft, fresh
from tui.train_fields import BY_KEY, FIELDS, parse, put, shown, step, value


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.key)
def test_every_field_is_one_of_the_recipe_and_steps_stay_within_what_is_allowed(field):
    recipe = fresh()
    for technique in field.of or ("lora",):
        recipe = put(recipe, "technique.name", technique)
        assert field.belongs(recipe.technique)
    value(recipe, field.key)
    if field.kind in ("number", "whole") and field.ladder:
        for by in (1, -1):
            now = field.ladder[0]
            for _ in range(2 * len(field.ladder)):
                now = step(field, now, by)
                recipe = put(recipe, field.key, now)  # the recipe's own rules hold
            assert now == field.ladder[-1 if by > 0 else 0]
    elif field.kind in ("choice", "switch", "names"):
        first = value(recipe, field.key)
        seen = [first]
        while (now := step(field, seen[-1], 1)) != first:
            recipe = put(recipe, field.key, now)
            assert len(seen) < 10
            seen.append(now)
        assert len(seen) > 1


def test_a_ladder_goes_on_from_what_was_typed():
    rank = BY_KEY["technique.rank"]
    assert step(rank, 20, 1) == 32
    assert step(rank, 20, -1) == 16
    assert step(rank, 300, 1) == 300
    rate = BY_KEY["schedule.learning_rate"]
    assert step(rate, 3e-4, 1) == 5e-4
    steps = BY_KEY["technique.start_step"]
    assert step(steps, 0, -1) == -1


def test_another_technique_brings_its_own_defaults():
    recipe = put(put(fresh(), "technique.dropout", 0.1), "schedule.learning_rate", 0.5)
    other = put(recipe, "technique.name", "delta-lora")
    assert other.technique.dropout == 0
    assert other.schedule.learning_rate == 0


def test_what_is_typed_is_read_and_wrong_words_are_told():
    assert parse(BY_KEY["technique.targets"], "q_proj, v_proj") == ["q_proj", "v_proj"]
    assert parse(BY_KEY["technique.targets"], "all-linear") == "all-linear"
    assert parse(BY_KEY["schedule.learning_rate"], "3e-4") == 3e-4
    with pytest.raises(SternaError, match="whole number"):
        parse(BY_KEY["schedule.batch"], "many")
    columns = parse(BY_KEY["data.columns"], "prompt=question, completion = the answer")
    assert columns == {"prompt": "question", "completion": "the answer"}
    assert (
        shown(BY_KEY["data.columns"], columns, columns) == "prompt=question, completion=the answer"
    )
    assert parse(BY_KEY["data.columns"], "") == {}
    with pytest.raises(SternaError, match="ROLE=NAME"):
        parse(BY_KEY["data.columns"], "question")
    with pytest.raises(SternaError, match=r"schedule\.batch"):
        put(fresh(), "schedule.batch", 0)


def test_open_numbers_are_shown_as_what_they_will_be():
    rank = BY_KEY["technique.rank"]
    assert shown(rank, 0, 16) == "16 (by the model)"
    assert shown(rank, 0, 0) == "by the model"  # which is not chosen yet
    assert shown(rank, 8, 8) == "8"
    assert shown(BY_KEY["schedule.max_steps"], 0, 0) == "by epochs"
    assert shown(BY_KEY["watch.sample_every"], -1, -1) == "none"


def test_the_command_that_is_copied_makes_the_same_recipe():
    """Every field that the menu can change has a flag, and the flags say all that was chosen."""
    assert {f.key for f in FIELDS} - {"base.model", "data.path"} == set(FLAGS)
    recipe = recipes.from_dict({"base": {"model": "m"}, "data": {"path": "my rows.jsonl"}})
    for key, new in (
        ("technique.name", "lora-plus"), ("technique.rank", 4), ("technique.targets", ["q_proj"]),
        ("technique.ratio", 8.0), ("technique.rslora", True), ("schedule.learning_rate", 3e-4),
        ("data.template", "none"), ("data.system", "be brief, be kind"),
        ("data.columns", {"prompt": "question", "completion": "answer"}), ("name", "mine"), ("save.every", 7),
    ):  # fmt: skip
        recipe = put(recipe, key, new)
    words = shlex.split(Draft(recipe).command())
    assert words[:2] == ["sterna", "train"]
    assert training_options.recipe_of(_parsed(words[2:])) == recipe


def _parsed(arguments):
    from argparse import ArgumentParser

    from tui.commands import train

    parser = ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(arguments)


def test_a_new_run_with_the_choices_of_another_leaves_open_what_was_filled_in():
    recipe = put(put(fresh(), "save.every", 7), "name", "old")
    again = train_fields.again(recipe)
    assert again.name == ""
    assert again.save.every == 0
