"""What is exported, in llama.cpp: the same model and adapter say the same text."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from ggufs import tiny_llama
from learnt import TECHNIQUES, learned

from backend.inference import Sampling, load_model
from backend.train.bases.gguf import load_gguf
from backend.train.export.gguf_adapter import write_adapter
from backend.train.export.learned import read_changes
from backend.train.export.target import target_of
from backend.train.source import find

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]
PROMPT, TOKENS = "a ring of red and green things", 32


def theirs(base: Path, adapter: Path | None, prompt: str, tokens: int) -> str:
    """What llama.cpp says, greedily."""
    program = Path(os.environ["STERNA_LLAMA_CPP"]) / "llama-completion"
    command = [
        program, "-m", base, "-p", prompt, "-n", str(tokens), "--temp", "0", "-t", "1", "-c", "256",
        "-no-cnv", "--no-warmup", "--no-display-prompt", "--simple-io",
        "-ctk", "f32", "-ctv", "f32", *(["--lora", adapter] if adapter else []),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    return done.stdout.decode("utf-8", "replace").replace(" [end of text]", "")


def ours(base: Path, adapter: Path | None, prompt: str, tokens: int) -> str:
    """What Sterna's engine says, greedily."""
    model = load_model(base, adapter=adapter, threads=1, kv="f32")
    greedy = Sampling(temperature=0, max_tokens=tokens)
    said = "".join(token.text for token in model.stream(model.tokenizer.encode(prompt), greedy))
    model.close()
    return said


@pytest.mark.parametrize("name", [n for n in TECHNIQUES if n != "dora"])
def test_an_adapter_says_the_same_in_llama_cpp(tmp_path, name):
    base = tiny_llama(tmp_path / "base.gguf").path
    learned(load_gguf(base, torch.float32), name, tmp_path / "peft")
    write_adapter(
        read_changes(tmp_path / "peft"), target_of(find(str(base))), tmp_path / "a.gguf", "mine"
    )
    said = theirs(base, tmp_path / "a.gguf", PROMPT, TOKENS)
    assert said.strip() == ours(base, tmp_path / "a.gguf", PROMPT, TOKENS).strip()
    assert said != theirs(base, None, PROMPT, TOKENS)
