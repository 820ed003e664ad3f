"""Sliding windows: small caches, long texts, going back; and LongRoPE, whose cache changes its angles."""

import numpy as np
import pytest
from oracle_models import assert_close
from run_logits import engine_logits
from tiny_families import FAMILIES, make

from backend.inference import Sampling, load_model
from backend.inference.memory import cache_bytes, cache_positions
from backend.inference.prefix import CachedPrefix

WINDOWED = ("mistral with a window", "gemma2", "gemma3")
TEXT = np.random.default_rng(2).integers(0, 250, 500).tolist()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a family's model, made when asked for."""
    folder, found = tmp_path_factory.mktemp("windows"), {}

    def of(name):
        if name not in found:
            found[name] = make(folder / f"{name.replace(' ', '-')}.gguf", FAMILIES[name], seed=5)
        return found[name]

    return of


def assert_speaks(model, reference, prompt, count, anew=False):
    """Greedy tokens and their log probabilities are those of the whole text, run `anew` for each token."""
    told = list(model.stream(prompt, Sampling(temperature=0, max_tokens=count)))
    text = [*prompt, *(token.id for token in told)]
    first = len(prompt) - 1
    if anew:
        logits = [reference.logits([text[: first + 1 + n]])[0][-1] for n in range(len(told))]
    else:
        logits = reference.logits([text])[0][first:-1]
    for token, values in zip(told, np.asarray(logits, np.float64), strict=True):
        logprobs = values - values.max() - np.log(np.exp(values - values.max()).sum())
        assert token.id == values.argmax()
        assert token.logprob == pytest.approx(logprobs[token.id], abs=1e-4)
    return text


@pytest.mark.parametrize(("kv", "limit"), [("f32", 2e-5), ("f16", 3e-3), ("q8_0", 0.1)])
@pytest.mark.parametrize("name", WINDOWED)
def test_long_texts_in_rings(made, name, kv, limit):
    model = made(name)
    wanted = model.logits([TEXT])
    for block in (264, 61):
        got = engine_logits(model.path, [TEXT], kv=kv, block=block)
        assert_close(got, wanted, limit=limit, share=0)


def test_a_token_at_a_time_around_the_ring(made):
    model = made("gemma3")
    assert_close(
        engine_logits(model.path, [TEXT], block=1), model.logits([TEXT]), limit=2e-5, share=0
    )


@pytest.mark.parametrize("name", WINDOWED)
def test_only_the_window_is_kept(made, name):
    model = load_model(made(name).path, kv="f16")
    h = model.hyper
    rings, whole = sum(w > 0 for w in h.windows), sum(w == 0 for w in h.windows)
    ring = cache_positions(h.window, model.context)
    assert h.window + 263 <= ring <= h.window + 263 + 64
    assert rings >= 2
    each = h.kv_heads * (h.key_width + -(-h.value_width // 16) * 16) * 2
    assert model.plan.cache == each * (rings * ring + whole * model.context)
    assert cache_bytes(h, 1 << 17, "f16") - cache_bytes(h, 1 << 16, "f16") == each * whole << 16
    model.close()


@pytest.mark.parametrize("name", WINDOWED)
def test_going_back_reuses_what_is_still_there(made, name):
    reference = made(name)
    model = load_model(reference.path)
    said = assert_speaks(model, reference, TEXT[:400], 40)
    again = [*said[:430], 7, 8, 9]
    assert_speaks(model, reference, again, 5)
    assert model.last.cached_tokens == 430
    assert_speaks(model, reference, [*said[:300], 11], 5)  # 138 before the end: still in the ring
    assert model.last.cached_tokens == 300
    model.close()


@pytest.mark.parametrize("name", WINDOWED)
def test_going_back_beyond_the_window_runs_the_prompt_anew(made, name):
    reference = made(name)
    model = load_model(reference.path)
    assert_speaks(model, reference, TEXT[:480], 3)
    assert_speaks(model, reference, [*TEXT[:100], 5], 5)
    assert model.last.cached_tokens == 0
    assert_speaks(model, reference, [*TEXT[:103], 6], 5)
    assert model.last.cached_tokens == 100
    model.close()


def test_a_cancelled_run_may_have_overwritten_the_window():
    prefix = CachedPrefix(window=10, ring=64)
    prefix.running(60)
    prefix.extend(range(60))
    prefix.running(120)  # and was cancelled
    prompt = np.arange(60, dtype=np.int32)
    assert prefix.usable(prompt) == 0  # position 50 lies where position 114 may be
    assert prefix.usable(np.arange(70, dtype=np.int32)) == 0
    prefix.keep(0)
    prefix.running(64)
    prefix.extend(range(64))
    assert prefix.usable(prompt) == 59


def test_longrope_turns_the_cache_when_the_text_grows_long(made):
    """Up to 60 tokens by the short factors, beyond by the long ones, and back for a new short text."""
    reference = made("phi3 with longrope")
    model = load_model(reference.path)
    said = assert_speaks(model, reference, TEXT[:50], 20, anew=True)
    assert len(said) > 62
    assert_speaks(model, reference, [*said, 4], 4)
    assert model.last.cached_tokens > 60
    assert_speaks(model, reference, said[:20], 4)
    assert model.last.cached_tokens == 0
    model.close()
