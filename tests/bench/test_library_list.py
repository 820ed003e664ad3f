"""The benchmark of listing runs and tells its ratio; times are not judged."""

import os

import pytest

from backend.library import scan
from bench.library_list import environment, main, make_tree


@pytest.fixture
def tree(tmp_path, monkeypatch):
    make_tree(tmp_path, 20)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def test_the_models_that_it_makes_are_whole_and_spread_over_the_stores(tree):
    models = [model for model in scan() if model.store != "starter"]
    assert len(models) == 20
    assert all(model.error is None and model.context == 4096 for model in models)
    assert {model.store for model in models} == {"huggingface", "ollama", "lmstudio", "sterna"}


def test_it_prints_a_ratio(capsys, monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    assert main(["--models", "20", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "models                         21" in out
    assert "ratio" in out
