"""The sampler against its definition: the chain of filters, its probabilities, its seeds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.engine import Engine

NONE = np.zeros(0, np.int32)


class Sampler:
    """Draws from given logits by the real sampler."""

    def __init__(self, vocab):
        self.engine = Engine(1, 4)
        self.buffer = self.engine.buffer(vocab)
        self.engine.finish(vocab)

    def draw(
        self,
        logits,
        *,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        penalty=1.0,
        recent=NONE,
        seed=0,
        n=1,
    ):
        state = np.array([seed], np.uint64)
        out = []
        for _ in range(n):
            self.engine.write(self.buffer, logits[None])
            out.append(
                self.engine.sample(
                    self.buffer,
                    temperature,
                    top_k,
                    top_p,
                    min_p,
                    penalty,
                    np.asarray(recent, np.int32),
                    state,
                )
            )
        return out


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def kept(logits, top_k, top_p, min_p):
    """Ids that the filters leave, by their definition."""
    order = np.argsort(-logits, kind="stable")
    if top_k:
        order = order[:top_k]
    p = softmax(logits[order])
    if top_p < 1:
        order = order[: int(np.searchsorted(np.cumsum(p), top_p) + 1)]
    p = np.exp(logits[order] - logits[order[0]])
    return {int(i) for i, q in zip(order, p, strict=True) if q >= min_p}


def test_greedy_takes_the_first_of_the_largest():
    s = Sampler(100)
    logits = np.zeros(100, np.float32)
    logits[[7, 60]] = 3
    assert s.draw(logits, temperature=0)[0][0] == 7


def test_log_probability_is_the_models_own():
    s = Sampler(50)
    logits = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    want = np.log(softmax(logits.astype(np.float64)))
    for token, logprob in s.draw(logits, temperature=2.0, penalty=1.7, recent=[1, 2, 3], n=200):
        assert logprob == pytest.approx(want[token], abs=1e-5)
    token, logprob = s.draw(logits, temperature=0, penalty=1.7, recent=range(50))[0]
    assert logprob == pytest.approx(want[token], abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40),
    st.floats(0.05, 1.0),
    st.floats(0.0, 0.5),
    st.integers(0, 2**32 - 1),
)
def test_only_what_the_filters_leave_is_drawn(top_k, top_p, min_p, seed):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal(64) * 3).astype(np.float32)
    allowed = kept(logits.astype(np.float64), top_k, top_p, min_p)
    drawn = {
        t
        for t, _ in Sampler(64).draw(logits, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed, n=60)
    }
    assert drawn <= allowed


def test_frequencies_follow_the_probabilities():
    logits = np.array([2.0, 1.0, 0.0, -1.0], np.float32)
    for temperature in (0.5, 1.0, 2.0):
        drawn = [t for t, _ in Sampler(4).draw(logits, temperature=temperature, seed=3, n=20000)]
        found = np.bincount(drawn, minlength=4) / len(drawn)
        np.testing.assert_allclose(found, softmax(logits / temperature), atol=0.015)


def test_the_same_seed_draws_the_same():
    logits = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    s = Sampler(1000)
    first = s.draw(logits, seed=11, n=50)
    assert s.draw(logits, seed=11, n=50) == first
    assert s.draw(logits, seed=12, n=50) != first


def test_the_penalty_counts_each_token_once_and_works_on_both_signs():
    logits = np.array([2.0, -1.0, 1.5, -3.0], np.float32)
    s = Sampler(4)
    assert s.draw(logits, temperature=0, penalty=2.0, recent=[0, 0, 0])[0][0] == 2
    assert s.draw(logits, temperature=0, penalty=1.2, recent=[0, 0, 0])[0][0] == 0
    only_negative = np.array([-1.0, -1.5], np.float32)
    assert Sampler(2).draw(only_negative, temperature=0, penalty=2.0, recent=[0])[0][0] == 1
    assert s.draw(logits, temperature=0, penalty=2.0, recent=[-5, 99])[0][0] == 0  # unknown ids
