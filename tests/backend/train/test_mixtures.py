"""Mixtures of experts as bases: attention learns, experts and their router stay as they are."""

import numpy as np
import pytest
import torch
from folders import write_tokenizer
from learnt import IDS, logits
from peft import PeftModel
from running import make_run, of, train, write_rows
from tiny_families import FAMILIES, make

from backend.errors import SternaError
from backend.gguf.converting import convert
from backend.inference import load_model
from backend.train import recipe as recipes
from backend.train.bases import load_base
from backend.train.bases.folder import load_folder
from backend.train.bases.gguf import load_gguf
from backend.train.export.of_run import adapter_of
from backend.train.source import find

pytestmark = pytest.mark.timeout(120)


def folder_of(path, name):
    """Write a random mixture as a folder of safetensors with a tokenizer."""
    made = make(path.with_suffix(".gguf"), FAMILIES[name])
    made.model.save_pretrained(path)
    assert write_tokenizer(path) <= made.config.vocab_size
    return path


@pytest.mark.parametrize(
    ("name", "kind"), [("qwen3moe", "file"), ("mixtral", "file"), ("mixtral", "folder")]
)
def test_what_a_mixture_learned_is_the_same_in_peft_and_in_the_engine(home, tmp_path, name, kind):
    if kind == "file":
        base = make(tmp_path / "base.gguf", FAMILIES[name]).path
    else:
        base = folder_of(tmp_path / "base", name)
    run = make_run(
        tmp_path / "run", base, write_rows(tmp_path / "rows.jsonl"),
        schedule={"max_steps": 15, "batch": 8},
    )  # fmt: skip
    losses = [event["loss"] for event in of(train(run), "step")]
    assert losses[-1] < 0.7 * losses[0]
    assert recipes.load(run.recipe).technique.targets == ["q_proj", "k_proj", "v_proj", "o_proj"]
    load = load_gguf if kind == "file" else load_folder
    before = logits(load(base, torch.float32))
    wanted = logits(PeftModel.from_pretrained(load(base, torch.float32), run.adapter))
    if kind == "folder":
        convert(base, tmp_path / "whole.gguf", quant="F32")
        base = tmp_path / "whole.gguf"
    model = load_model(base, adapter=adapter_of(run).path, threads=1, kv="f32")
    said = model.logits(IDS)
    model.close()
    assert np.abs(said - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())
    assert np.abs(before - wanted).max() > 1e-1


def test_a_full_fine_tune_of_a_mixture_is_refused(home, tmp_path):
    base = make(tmp_path / "base.gguf", FAMILIES["mixtral"]).path
    run = make_run(tmp_path / "run", base, tmp_path / "rows.jsonl", technique={"name": "sft"})
    with pytest.raises(SternaError, match="only attention learns") as refused:
        load_base(recipes.load(run.recipe), find(str(base)), torch.device("cpu"))
    assert refused.value.kind == "untrainable"
