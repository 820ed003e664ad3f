"""What is exported, in llama.cpp: the same model and adapter give the same numbers and say the same."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from ggufs import tiny_llama
from learnt import TECHNIQUES, learned
from running import make_run, train
from tiny_families import FAMILIES, make

from backend.inference import Sampling, load_model
from backend.train.bases.gguf import load_gguf
from backend.train.export.gguf_adapter import write_adapter
from backend.train.export.learned import read_changes
from backend.train.export.merged_gguf import write_merged
from backend.train.export.target import target_of
from backend.train.source import find, shape_of

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]
PROMPT = "a ring of red and green things in the wind"
LINES = (
    "the red ring sang in the wind and then ran the other way",
    "nothing green ever gets thin in the hands of a singer",
    "an hour after the rain the painter hung her rings again",
)
COMMON = ("-t", "1", "-c", "256", "-fa", "off", "-ctk", "f32", "-ctv", "f32")
END = "[end of text]"


def llama(program: str, *arguments: object) -> str:
    """Run a program of llama.cpp and return what it wrote."""
    path = Path(os.environ["STERNA_LLAMA_CPP"]) / program
    command = [str(path), *map(str, arguments), *COMMON]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode("utf-8", "replace")


def their_logits(base: Path, adapter: Path | None, out: Path) -> np.ndarray:
    """The logits behind the prompt, by llama.cpp."""
    beside = ("--lora", adapter) if adapter else ()
    llama("llama-debug", "-m", base, "-p", PROMPT, "--save-logits",
          "--logits-output-dir", out, "--no-warmup", *beside)  # fmt: skip
    return np.fromfile(out / f"llamacpp-{base.stem}.bin", np.float32)


def their_text(base: Path, adapter: Path, prompt: str) -> str:
    """What llama.cpp says, greedily. It may lose its last words as it ends: then it is asked again."""
    for _ in range(5):
        said = llama(
            "llama-completion", "-m", base, "--lora", adapter, "-p", prompt, "-n", 80, "--temp", 0,
            "-no-cnv", "--no-warmup", "--no-display-prompt", "--simple-io",
        )  # fmt: skip
        if END in said:
            break
    return said.replace(END, "").strip()


def our_logits(base: Path, adapter: Path | None) -> np.ndarray:
    """The same, by Sterna's engine."""
    model = load_model(base, adapter=adapter, threads=1, kv="f32")
    said = model.logits(model.tokenizer.encode(PROMPT))[-1]
    model.close()
    return said


@pytest.mark.parametrize("name", [n for n in TECHNIQUES if n != "dora"])
def test_an_adapter_gives_the_same_logits(tmp_path, name):
    base = tiny_llama(tmp_path / "base.gguf").path
    learned(load_gguf(base, torch.float32), name, tmp_path / "peft")
    adapter = tmp_path / "a.gguf"
    write_adapter(read_changes(tmp_path / "peft"), target_of(find(str(base))), adapter, "mine")
    theirs = their_logits(base, adapter, tmp_path / "out")
    assert np.abs(theirs - our_logits(base, adapter)).max() < 1e-4
    assert np.abs(theirs - our_logits(base, None)).max() > 1e-2


@pytest.mark.parametrize("name", ["mixtral", "qwen3moe"])
def test_an_adapter_beside_experts_gives_the_same_logits(tmp_path, name):
    base = make(tmp_path / "base.gguf", FAMILIES[name]).path
    names = [m.module for m in shape_of(find(str(base))).matrices]
    learned(load_gguf(base, torch.float32), "lora", tmp_path / "peft", targets=names)
    adapter = tmp_path / "a.gguf"
    write_adapter(read_changes(tmp_path / "peft"), target_of(find(str(base))), adapter, "mine")
    theirs = their_logits(base, adapter, tmp_path / "out")
    most = max(1, np.abs(theirs).max())
    assert np.abs(theirs - our_logits(base, adapter)).max() < 1e-4 * most
    assert np.abs(theirs - our_logits(base, None)).max() > 1e-2 * most


def test_a_merged_dora_gives_the_same_logits(tmp_path):
    base = tiny_llama(tmp_path / "base.gguf").path
    learned(load_gguf(base, torch.float32), "dora", tmp_path / "peft")
    merged = tmp_path / "m.gguf"
    write_merged(read_changes(tmp_path / "peft"), target_of(find(str(base))), base, merged)
    theirs = their_logits(merged, None, tmp_path / "out")
    assert np.abs(theirs - our_logits(merged, None)).max() < 1e-4


@pytest.mark.parametrize("name", ["lora", "vera", "delta-lora"])
def test_what_was_trained_says_the_same_text(home, tmp_path, name):
    base = tiny_llama(tmp_path / "base.gguf").path
    rows = tmp_path / "rows.jsonl"
    pairs = [{"prompt": f"item {i}", "completion": line} for i, line in enumerate(LINES)]
    rows.write_text("".join(json.dumps(pair) + "\n" for pair in pairs * 4))
    run = make_run(
        tmp_path / "run", base, rows,
        technique={"name": name, "rank": 64 if name == "vera" else 8},
        schedule={"max_steps": 150, "batch": 3, "learning_rate": 5e-2 if name == "vera" else 1e-2},
        data={"max_length": 128}, save={"every": 150},
    )  # fmt: skip
    train(run)
    adapter = tmp_path / "a.gguf"
    write_adapter(read_changes(run.adapter), target_of(find(str(base))), adapter, "mine")
    model = load_model(base, adapter=adapter, threads=1, kv="f32")
    for i, line in enumerate(LINES):
        prompt = f"<|im_start|>user\nitem {i}<|im_end|>\n<|im_start|>assistant\n"
        ids = model.tokenizer.encode(prompt, special=True)
        greedy = Sampling(temperature=0, max_tokens=80)
        ours = "".join(token.text for token in model.stream(ids, greedy))
        theirs = their_text(base, adapter, prompt)
        assert theirs == ours.strip()
        assert name == "vera" or ours.strip() == line
    model.close()
