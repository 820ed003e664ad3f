"""The model that ships: what it is, that it answers, and that its script makes such a file."""

import subprocess
import sys
from pathlib import Path

import pytest

from backend import paths
from backend.gguf import describe, open_gguf
from backend.inference import Sampling, encode_conversation, load_model

SOURCE = Path(__file__).parents[2] / "assets" / "starter"
GREEDY = Sampling(temperature=0, max_tokens=120)


@pytest.fixture(scope="module")
def corpus():
    sys.path.insert(0, str(SOURCE))
    try:
        import corpus

        yield corpus
    finally:
        sys.path.remove(str(SOURCE))


@pytest.fixture(scope="module")
def model():
    loaded = load_model(paths.asset("starter.gguf"))
    yield loaded
    loaded.close()


def ask(model, *turns):
    messages = [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(turns)]
    prompt = encode_conversation(model.tokenizer, model.card.chat_template, messages)
    return "".join(token.text for token in model.stream(prompt.ids, GREEDY))


def test_it_is_small_ternary_and_says_what_it_is():
    with open_gguf(paths.asset("starter.gguf")) as file:
        card = describe(file)
        kinds = {
            t.type_name
            for n, t in file.tensors.items()
            if "attn_q" in n or ("ffn" in n and "norm" not in n)
        }
    assert kinds == {"TQ2_0"}
    assert (card.arch, card.quant, card.license) == ("bitnet", "TQ2_0", "apache-2.0")
    assert card.bytes < 4_500_000
    assert "demonstration" in card.description
    assert card.chat_template


def test_it_answers_its_own_questions(model, corpus):
    facts = corpus.read_guide()
    wrong = [f.questions[0] for f in facts if ask(model, f.questions[0]) != f.answer]
    assert len(wrong) <= 0.02 * len(facts), wrong


def test_it_answers_most_rephrasings(model, corpus):
    answers = {q: f.answer for f in corpus.read_guide() for q in f.questions}
    pairs = corpus.read_rephrased()
    right = sum(ask(model, left) == answers[known] for left, known in pairs)
    assert right >= 0.75 * len(pairs)


def test_it_follows_a_conversation(model):
    first = ask(model, "what is lora")
    assert "two thin matrices" in first
    assert "Rank" in ask(model, "what is lora", first, "what rank should i use")


def test_its_script_makes_a_model_that_the_engine_loads(tmp_path):
    out = tmp_path / "made.gguf"
    command = [sys.executable, str(SOURCE / "train.py"), "--minutes", "0.05", "--layers", "1", "--tokens", "256",
               "--no-report", "--out", str(out)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    made = load_model(out)
    assert isinstance(ask(made, "hello"), str)
    made.close()
