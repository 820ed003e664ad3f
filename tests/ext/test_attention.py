"""Attention, rotary positions and the KV cache against plain numpy in float64."""

import itertools

import numpy as np
import pytest

from ext import cpu
from ext.engine import Engine

ISAS = cpu.available()


@pytest.fixture(params=ISAS)
def isa(request, monkeypatch):
    monkeypatch.setenv("STERNA_ISA", request.param)
    return request.param


class Attention:
    """A program of two steps: turn and keep, then attend."""

    def __init__(self, *, heads, kv_heads, width, capacity, keep, neox=True, threads=2, rope=True,
                 window=0, cap=0.0, norms=False):  # fmt: skip
        self.heads, self.kv_heads, self.width, self.neox = heads, kv_heads, width, neox
        self.window, self.cap = window, cap
        self.engine = Engine(threads, 64)
        e = self.engine
        self.q, self.k = e.buffer(heads * width), e.buffer(kv_heads * width)
        self.v, self.out = e.buffer(kv_heads * width), e.buffer(heads * width)
        keys, values = (e.cache(kv_heads, capacity, width, keep, part) for part in (True, False))
        self.inverse = (10000.0 ** (-np.arange(0, width, 2) / width)).astype(np.float32)
        if not rope:
            self.inverse = np.zeros(0, np.float32)
        rng = np.random.default_rng(width)
        self.norms = rng.uniform(0.5, 1.5, (2, width)).astype(np.float32) if norms else None
        by = [None, None] if self.norms is None else list(self.norms)
        e.rope(self.q, self.k, self.v, keys, values, self.inverse, neox, 1, None, *by, 1e-5)
        e.attend(self.q, self.out, keys, values, width**-0.5, cap, window)
        e.finish(16)

    def run(self, q, k, v, first):
        for buffer, values in ((self.q, q), (self.k, k), (self.v, v)):
            self.engine.write(buffer, np.ascontiguousarray(values.reshape(len(values), -1)))
        assert self.engine.run(np.zeros(len(q), np.int32), first, len(q))
        return self.engine.read(self.out, len(q)).reshape(len(q), self.heads, self.width)

    def turned(self, x, first):
        """x [tokens, heads, width] turned by its positions, float64."""
        x = x.astype(np.float64)
        half = len(self.inverse)
        if not half:
            return x
        angle = (first + np.arange(len(x)))[:, None] * self.inverse.astype(np.float64)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        a, b = (x[..., :half], x[..., half:]) if self.neox else (x[..., 0::2], x[..., 1::2])
        u, w = a * cos - b * sin, a * sin + b * cos
        if self.neox:
            return np.concatenate([u, w], axis=-1)
        out = np.empty_like(x)
        out[..., 0::2], out[..., 1::2] = u, w
        return out

    def expected(self, q, k, v):
        """Everything at once from position 0."""
        if self.norms is not None:
            q, k = (x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-5) * w
                    for x, w in zip((q, k), self.norms, strict=True))  # fmt: skip
        q, k, v = self.turned(q, 0), self.turned(k, 0), v.astype(np.float64)
        group = self.heads // self.kv_heads
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = np.einsum("thd,shd->hts", q, k) * self.width**-0.5
        if self.cap:
            scores = self.cap * np.tanh(scores / self.cap)
        scores += np.triu(np.full(scores.shape[1:], -np.inf), 1)
        if self.window:
            scores += np.tril(np.full(scores.shape[1:], -np.inf), -self.window)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        return np.einsum("hts,shd->thd", p / p.sum(-1, keepdims=True), v)


def draw(rng, tokens, heads, width):
    return rng.standard_normal((tokens, heads, width)).astype(np.float32)


@pytest.mark.parametrize("keep", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "width"), [(4, 4, 64), (8, 2, 32), (5, 1, 8), (3, 3, 20), (20, 5, 128)]
)
@pytest.mark.parametrize("neox", [True, False])
def test_attention_in_one_block_and_in_pieces(isa, heads, kv_heads, width, keep, neox):
    rng = np.random.default_rng(heads)
    job = Attention(heads=heads, kv_heads=kv_heads, width=width, capacity=80, keep=keep, neox=neox)
    q, k, v = (draw(rng, 60, n, width) for n in (heads, kv_heads, kv_heads))
    want = job.expected(q, k, v)
    limit = {"f32": 2e-5, "f16": 3e-3, "q8_0": 5e-2}[keep]
    np.testing.assert_allclose(job.run(q, k, v, 0), want, atol=limit)
    for cut in (1, 7, 59):
        job.run(q[:cut], k[:cut], v[:cut], 0)
        np.testing.assert_allclose(job.run(q[cut:], k[cut:], v[cut:], cut), want[cut:], atol=limit)


def test_one_token_over_many_positions_is_cut_in_parts_without_a_trace(isa):
    """Beyond 256 positions several threads share one token's positions."""
    rng = np.random.default_rng(0)
    shape = {"heads": 4, "kv_heads": 2, "width": 32, "capacity": 1400, "keep": "f32"}
    several, single = Attention(**shape, threads=3), Attention(**shape, threads=1)
    q, k, v = (draw(rng, 1300, n, 32) for n in (4, 2, 2))
    want = several.expected(q, k, v)
    for first in range(0, 1280, 64):
        at = slice(first, first + 64)
        several.run(q[at], k[at], v[at], first)
        single.run(q[at], k[at], v[at], first)
    for position in range(1280, 1300):
        at = slice(position, position + 1)
        np.testing.assert_allclose(several.run(q[at], k[at], v[at], position), want[at], atol=2e-5)
        np.testing.assert_allclose(single.run(q[at], k[at], v[at], position), want[at], atol=2e-5)


@pytest.mark.parametrize("keep", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize(
    ("window", "capacity"), [(1, 64), (20, 128), (65, 128), (100, 192), (30, 300)]
)
def test_a_window_needs_no_more_than_a_ring(isa, window, capacity, keep):
    """Many times around, in blocks and token by token; what lies outside the window leaves no trace."""
    rng = np.random.default_rng(window)
    job = Attention(heads=4, kv_heads=2, width=24, capacity=capacity, keep=keep, window=window,
                    cap=4.0, norms=True, threads=3)  # fmt: skip
    q, k, v = (draw(rng, 300, n, 24) for n in (4, 2, 2))
    want = job.expected(q, k, v)
    limit = {"f32": 2e-5, "f16": 4e-3, "q8_0": 6e-2}[keep]
    cuts = [0, 64, 128, 129, 130, 150, 214, 215, 216, 217, 218, 250, 300]
    for first, end in itertools.pairwise(cuts):
        got = job.run(q[first:end], k[first:end], v[first:end], first)
        np.testing.assert_allclose(got, want[first:end], atol=limit)


def test_a_long_window_is_cut_in_parts_without_a_trace(isa):
    rng = np.random.default_rng(1)
    job = Attention(heads=4, kv_heads=2, width=32, capacity=832, keep="f32", window=700, threads=3)
    q, k, v = (draw(rng, 1100, n, 32) for n in (4, 2, 2))
    want = job.expected(q, k, v)
    for first in range(0, 1088, 64):
        job.run(q[first : first + 64], k[first : first + 64], v[first : first + 64], first)
    for at in range(1088, 1100):
        one = slice(at, at + 1)
        np.testing.assert_allclose(job.run(q[one], k[one], v[one], at), want[one], atol=2e-5)


def test_a_cache_too_small_for_its_window_is_no_ring():
    job = Attention(heads=1, kv_heads=1, width=8, capacity=64, keep="f32", window=40)
    with pytest.raises(ValueError, match="beyond"):
        job.engine.run(np.zeros(3, np.int32), 63, 0)


def test_extreme_scores_stay_finite(isa):
    job = Attention(heads=2, kv_heads=1, width=16, capacity=64, keep="f32", rope=False)
    q = np.full((40, 2, 16), 300, np.float32)
    k = np.linspace(-300, 300, 40, dtype=np.float32)[:, None, None] * np.ones(
        (1, 1, 16), np.float32
    )
    v = np.arange(40, dtype=np.float32)[:, None, None] * np.ones((1, 1, 16), np.float32)
    got = job.run(q, k, v, 0)
    np.testing.assert_allclose(got[:, 0, 0], np.arange(40), rtol=1e-6)  # the newest key wins alone


def test_tokens_beyond_the_cache_are_refused():
    job = Attention(heads=1, kv_heads=1, width=8, capacity=10, keep="f32")
    with pytest.raises(ValueError, match="beyond"):
        job.engine.run(np.zeros(3, np.int32), 8, 0)


def test_widths_that_do_not_agree_are_refused():
    e = Engine(1, 8)
    q, k = e.buffer(24), e.buffer(16)
    keys = e.cache(2, 8, 8, "f32", True)
    with pytest.raises(ValueError, match="agree"):
        e.rope(k, q, k, keys, keys, np.zeros(4, np.float32), True)
    with pytest.raises(ValueError, match="agree"):
        e.attend(q, k, keys, keys, 1.0)
