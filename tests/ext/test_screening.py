"""Finding the greatest logits of a split output matrix without reading all of it."""

import blocks
import numpy as np
import pytest

from ext import cpu
from ext.engine import Engine
from ext.matrix import sketch_bytes

ISAS = cpu.available()


@pytest.fixture(params=ISAS)
def isa(request, monkeypatch):
    monkeypatch.setenv("STERNA_ISA", request.param)
    return request.param


@pytest.fixture(params=[blocks.Q6_K, blocks.Q8_0], ids=["Q6_K", "Q8_0"])
def quant(request):
    return request.param


class Head:
    """One product with an output matrix, split or whole."""

    def __init__(self, quant, data, rows, cols, *, split, threads=2):
        self.engine = e = Engine(threads, 32)
        self.source, self.out = e.buffer(cols), e.buffer(rows)
        e.cache(1, 32, 16, "f32", True)
        self.matrix = e.matrix(quant, data, rows, cols, split=split)
        e.norm(self.source, None, 1e-5, [self.matrix], True)
        e.linear([self.matrix], [self.out], last_only=True)
        e.finish(rows)

    def run(self, x, keep=0):
        self.engine.keep = keep
        self.engine.write(self.source, np.ascontiguousarray(x, np.float32))
        assert self.engine.run(np.zeros(len(x), np.int32), 0, 0)
        return self.engine.read(self.out, len(x))


def natural(rng, quant, rows, cols):
    """Rows of normal weights as a file holds them: scales by the largest of a span."""
    if quant == blocks.Q8_0:
        codes = np.clip(np.rint(rng.standard_normal((rows * cols // 32, 32)) * 58), -127, 127)
        scale = np.full((len(codes), 1), 2e-4, np.float16)
        return np.hstack([scale.view(np.uint8), codes.astype(np.int8).view(np.uint8)]).reshape(-1)
    data = blocks.random_bytes(rng, blocks.Q6_K, rows, cols).reshape(-1, 210)
    codes = np.clip(np.rint(rng.standard_normal((len(data), 256)) * 11) + 32, 0, 63).astype(
        np.uint8
    )
    half = codes.reshape(-1, 2, 4, 32)
    data[:, :128] = np.concatenate(
        [half[:, :, :2].reshape(-1, 2, 64) & 15 | (half[:, :, 2:].reshape(-1, 2, 64) & 15) << 4], -1
    ).reshape(-1, 128)
    top = half >> 4
    data[:, 128:192] = (
        top[:, :, 0] | top[:, :, 1] << 2 | top[:, :, 2] << 4 | top[:, :, 3] << 6
    ).reshape(-1, 64)
    data[:, 192:208] = rng.integers(60, 120, (len(data), 16))
    data[:, 208:] = np.full(len(data), 2e-4, np.float16).view(np.uint8).reshape(-1, 2)
    return data.reshape(-1)


def scales_of(quant, data, rows):
    """What a code counts, value by value."""
    if quant == blocks.Q8_0:
        b = data.reshape(rows, -1, 34)
        return b[:, :, :2].copy().view(np.float16).astype(float).reshape(rows, -1).repeat(32, 1)
    b = data.reshape(rows, -1, 210)
    d = b[:, :, 208:].copy().view(np.float16).astype(float)
    return (b[:, :, 192:208].view(np.int8) * d).reshape(rows, -1).repeat(16, 1)


@pytest.mark.parametrize("tokens", [1, 2, 13])
def test_all_parts_together_are_the_whole(isa, quant, tokens):
    rng, cols = np.random.default_rng(0), 512 if quant == blocks.Q6_K else 480
    data = blocks.random_bytes(rng, quant, 100, cols)
    x = rng.standard_normal((tokens, cols))
    whole, split = (Head(quant, data, 100, cols, split=s).run(x) for s in (False, True))
    np.testing.assert_array_equal(whole, split)


@pytest.mark.parametrize("keep", [1, 40, 75, 250])
def test_the_greatest_are_exact_and_the_rest_is_below(isa, quant, keep):
    rng = np.random.default_rng(keep)
    data = natural(rng, quant, 5000, 512)
    head = Head(quant, data, 5000, 512, split=True)
    for _ in range(20):
        x = rng.standard_normal((1, 512))
        x[0, :3] *= rng.integers(1, 40)  # a few values that are far larger, as in real models
        exact, found = head.run(x)[0], head.run(x, keep)[0]
        best = np.argsort(-exact, kind="stable")[:keep]
        np.testing.assert_array_equal(found[best], exact[best])
        others = np.delete(found, best)
        assert others.max() <= exact[best].min()
    assert keep > 1 or head.engine.shares_read[2] < 0.9


def test_where_most_rows_are_looked_at_twice_they_are_so_at_once(isa, quant):
    """And what is exact is the same, also when the first look is tried again, and for rows of another kind."""
    rng = np.random.default_rng(8)
    data = natural(rng, quant, 3000, 256)
    head = Head(quant, data, 3000, 256, split=True)
    row = blocks.as_float(quant, data.reshape(3000, -1)[77].copy(), 1, 256).reshape(1, 256)
    shares = []
    for stands_out in [0] * 40 + [1] * 40:
        x = rng.standard_normal((1, 256)) + stands_out * 9 * row / row.std()
        keep = 1 if stands_out else 40
        exact, found = head.run(x)[0], head.run(x, keep)[0]
        best = np.argsort(-exact, kind="stable")[:keep]
        np.testing.assert_array_equal(found[best], exact[best])
        shares.append(head.engine.shares_read[1])
    assert shares[39] > 0.9
    assert shares[79] < shares[39]


@pytest.mark.parametrize("closer", [False, True], ids=["first", "closer"])
def test_estimates_are_as_uncertain_as_they_say(isa, quant, closer):
    """The errors of estimates, over the deviation that a margin is told in, are normal ones of size 1."""
    rng, rows, cols = np.random.default_rng(2), 3000, 512
    data = natural(rng, quant, rows, cols)
    weights = blocks.as_float(quant, data.copy(), rows, cols).reshape(rows, cols)
    scale = scales_of(quant, data, rows)
    hidden = (16 if quant == blocks.Q6_K else 64) // (4 if closer else 1)
    head, errors = Head(quant, data, rows, cols, split=True), []
    for kind in range(12):
        x = rng.standard_normal((1, cols)) * np.exp(kind % 3 * 0.5 * rng.standard_normal((1, cols)))
        x[0, :3] *= 1 + 10 * (kind % 2)
        if not closer:  # one row is far above the rest
            x += 4 * weights[1234] / weights[1234].std() * np.abs(x).mean()
        exact, found = head.run(x)[0], head.run(x, 40 if closer else 1)[0]
        if closer and not kind:  # from the second token on all rows are looked at closer at once
            continue
        deviation = np.sqrt(((scale * x) ** 2).sum(1) * (hidden**2 - 1) / 12)
        errors.append(((found - exact) / deviation)[found != exact])
    z = np.concatenate(errors)
    assert len(z) > (4 if closer else 10) * rows  # others were read whole
    assert abs(z.mean()) < 0.1
    assert 0.95 < z.std() < 1.06
    assert np.abs(z).max() < 5.3


def test_all_is_exact_where_most_groups_would_be_likely(isa, quant):
    rng = np.random.default_rng(4)
    head = Head(quant, natural(rng, quant, 1000, 256), 1000, 256, split=True)
    x = rng.standard_normal((1, 256))
    np.testing.assert_array_equal(head.run(x, 40), head.run(x))
    assert head.engine.shares_read == (1, 1, 1)


def test_little_is_read_when_one_row_stands_out(isa, quant):
    rng = np.random.default_rng(3)
    data = natural(rng, quant, 4000, 768)
    head = Head(quant, data, 4000, 768, split=True)
    row = blocks.as_float(quant, data.reshape(4000, -1)[1234].copy(), 1, 768)
    found = head.run(row + rng.standard_normal(768) * row.std(), 1)[0]
    assert found.argmax() == 1234
    assert head.engine.shares_read[2] < 0.02
    assert head.engine.shares_read[1] < 0.05


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 1e38])
def test_what_is_no_number_does_no_harm(isa, quant, bad):
    rng = np.random.default_rng(5)
    head = Head(quant, natural(rng, quant, 160, 256), 160, 256, split=True)
    x = rng.standard_normal((1, 256))
    x[0, 7] = bad
    head.run(x, 5)
    head.run(np.full((1, 256), bad), 5)
    clean = rng.standard_normal((1, 256))
    np.testing.assert_array_equal(head.run(clean, 160), head.run(clean))


def floats(kind, values):
    """Values as a file holds them, and as they are then."""
    if kind == blocks.BF16:
        bits = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return bits.view(np.uint8).reshape(-1)
    return (
        values.astype(np.float16 if kind == blocks.F16 else np.float32).view(np.uint8).reshape(-1)
    )


@pytest.fixture(params=[blocks.F16, blocks.BF16, blocks.F32], ids=["F16", "BF16", "F32"])
def kind(request):
    return request.param


@pytest.mark.parametrize("keep", [1, 40, 65, 250])
def test_a_sketch_finds_the_greatest_products_of_floats(isa, kind, keep):
    rng, rows, cols = np.random.default_rng(keep), 4200, 512
    weights = rng.standard_normal((rows, cols)) * 0.02 * (1 + rng.random((rows, 1)))
    data = floats(kind, weights)
    head, whole = (Head(kind, data, rows, cols, split=split) for split in (True, False))
    assert head.matrix.bytes_read(1, 0, 0) == sketch_bytes(kind, rows, cols)
    shares = []
    for at in range(80):
        x = rng.standard_normal((1, cols)) * np.exp(at % 2 * rng.standard_normal((1, cols)))
        x += (at >= 40) * 9 * weights[at] / weights[at].std()
        exact, found = head.run(x)[0], head.run(x, 1 if at >= 40 else keep)[0]
        np.testing.assert_array_equal(exact, whole.run(x)[0])
        best = np.argsort(-exact, kind="stable")[: 1 if at >= 40 else keep]
        np.testing.assert_array_equal(found[best], exact[best])
        assert np.delete(found, best).max() <= exact[best].min()
        shares.append(head.engine.shares_read)
    assert shares[-1][2] < shares[39][2]  # less is read where a row stands out
    assert keep != 65 or shares[39][0] < 0.2  # no sketch is read where it would not help


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e30, np.inf, np.nan])
def test_floats_that_no_sketch_can_hold_are_multiplied_as_they_are(size):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4200, 256)).astype(np.float32)
    weights[17, 3] = 0
    weights *= np.float32(size if size in (0.0, 1e-12, 1e30) else 1)
    if not np.isfinite(size):
        weights[17, 3] = size
    data = floats(blocks.F32, weights)
    head, whole = (Head(blocks.F32, data, 4200, 256, split=split) for split in (True, False))
    x = rng.standard_normal((1, 256))
    exact, found = whole.run(x)[0], head.run(x, 5)[0]
    best = np.argsort(-np.nan_to_num(exact), kind="stable")[:5]
    np.testing.assert_array_equal(found[best], exact[best])
