"""The quantisers: what they lose, beside the reference of the gguf package and beside fixed bounds."""

import gguf
import numpy as np
import pytest
from blocks import BLOCKS, CODEBOOKS, IQ4_NL, IQ4_XS, MXFP4, Q8_0, SMALL, TQ1_0, TQ2_0, random_bytes
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ext import cpu
from ext.quantise import quantise, rejoin
from ext.quants import dequantise

MADE = (*(type for type in BLOCKS if type not in CODEBOOKS), TQ1_0, TQ2_0)
BY_PACKAGE = [type for type in (*SMALL, TQ1_0, TQ2_0) if type != IQ4_NL]  # it makes only these
# Root mean square of the error over that of the values, for normal values: what a file of the type
# must not exceed. They are the figures of these quantisers with a half percent of room. (Q2_K weighs errors by
# the size of the values, which costs here and pays in perplexity and divergence: see bench.quant_quality.)
BOUNDS = {
    Type.Q4_0: 0.0813, Type.Q4_1: 0.0699, Type.Q5_0: 0.0403, Type.Q5_1: 0.0338, Type.Q8_0: 0.0054,
    Type.IQ4_NL: 0.0767, Type.MXFP4: 0.1120, Type.Q2_K: 0.2846, Type.Q3_K: 0.1542, Type.Q4_K: 0.0709,
    Type.Q5_K: 0.0349, Type.Q6_K: 0.01775, Type.IQ4_XS: 0.0772,
}  # fmt: skip


def name(type):
    return Type(type).name


def lost(values, type, importance=None):
    """The error of every value after a round trip."""
    data = quantise(type, values, importance)
    return dequantise(type, data.reshape(-1), *values.shape) - values


def rms(values):
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@pytest.fixture(scope="module")
def normal():
    return (np.random.default_rng(1).standard_normal((64, 2048)) * 0.02).astype(np.float32)


@pytest.fixture(scope="module")
def heavy_tailed():
    return (np.random.default_rng(2).standard_t(4, (64, 2048)) * 0.02).astype(np.float32)


@pytest.mark.parametrize("type", MADE, ids=name)
def test_blocks_are_put_together_as_they_were(type):
    data = random_bytes(np.random.default_rng(type), type, 32, 512)
    assert (rejoin(type, data) == data).all()


@pytest.mark.parametrize("type", BY_PACKAGE, ids=name)
def test_no_worse_than_the_reference(type, normal, heavy_tailed):
    for values in (normal, heavy_tailed):
        theirs = gguf.quants.dequantize(gguf.quants.quantize(values, Type(type)), Type(type))
        assert rms(lost(values, type)) <= rms(theirs - values) * 1.0001


@pytest.mark.parametrize("type", BOUNDS, ids=lambda type: type.name)
def test_errors_stay_within_bounds(type, normal):
    assert rms(lost(normal, type)) / rms(normal) <= BOUNDS[type]


@pytest.mark.parametrize("type", MADE, ids=name)
def test_the_same_bytes_on_every_instruction_set(type, normal, monkeypatch):
    made = []
    for isa in cpu.available():
        monkeypatch.setenv("STERNA_ISA", isa)
        made.append(quantise(type, normal[:8]))
    assert all((data == made[0]).all() for data in made)


@pytest.mark.parametrize("type", MADE, ids=name)
def test_a_block_does_not_depend_on_its_neighbours(type, normal):
    rows = np.ascontiguousarray(normal[:8, :1792])  # not a multiple of what is worked on at once
    whole = quantise(type, rows)
    size = gguf.GGML_QUANT_SIZES[Type(type)][0]
    for col in range(0, 1792, size):
        alone = quantise(type, np.ascontiguousarray(rows[3:4, col : col + size]))
        width = alone.shape[1]
        assert (whole[3, col // size * width :][:width] == alone[0]).all()


@pytest.mark.parametrize("type", [t for t in MADE if t not in (Q8_0, MXFP4)], ids=name)
def test_important_columns_lose_less(type, heavy_tailed):
    importance = np.ones(2048, np.float32)
    important = np.arange(2048) % 16 == 5
    importance[important] = 100
    plain, guided = lost(heavy_tailed, type), lost(heavy_tailed, type, importance)
    assert rms(guided[:, important]) < 0.95 * rms(plain[:, important])


@pytest.mark.parametrize("type", MADE, ids=name)
def test_the_weighted_error_is_no_greater_with_importance(type, heavy_tailed):
    """What an importance matrix is for, in every format; in those without a choice it is the same."""
    importance = np.random.default_rng(7).gamma(0.3, size=2048).astype(np.float32) + 1e-3
    blocks = heavy_tailed.reshape(-1, 32 if type in SMALL else 256)
    sizes = np.sqrt(np.square(blocks).mean(1, keepdims=True) + np.square(blocks))
    weights = np.sqrt(importance * sizes.reshape(heavy_tailed.shape))
    plain, guided = (rms(lost(heavy_tailed, type, w) * weights) for w in (None, importance))
    assert guided <= plain * (1.0001 if type in (Q8_0, MXFP4) else 0.99)


def least_error(values, weights, levels):
    """The least weighted squared error of a block under one scale: every scale where a code turns is tried."""
    sizes = np.abs(values).max() / np.abs(levels).max()
    scales = np.concatenate([np.linspace(0.5, 1.6, 600), -np.linspace(0.5, 1.6, 600)]) * sizes
    codes = levels[np.abs(values[None, :, None] / scales[:, None, None] - levels).argmin(-1)]
    best = (weights * codes * values).sum(-1) / np.maximum((weights * codes**2).sum(-1), 1e-30)
    return (weights * (best[:, None] * codes - values) ** 2).sum(-1).min()


@pytest.mark.parametrize(
    ("type", "levels"),
    [
        (Type.Q4_0, np.arange(-8, 8)),
        (Type.Q5_0, np.arange(-16, 16)),
        (Type.IQ4_NL, gguf.quants.IQ4_NL.kvalues),
    ],
    ids=["Q4_0", "Q5_0", "IQ4_NL"],
)
def test_near_the_best_that_any_scale_can_do(type, levels, heavy_tailed):
    """Beside a search of numpy over all scales; the weights are those of the reference, importance * size."""
    values = heavy_tailed[:4, :512]
    importance = np.random.default_rng(5).gamma(1.0, size=512).astype(np.float32) + 0.01
    off = lost(np.ascontiguousarray(values), type, importance).astype(np.float64)
    ours = theirs = 0.0
    for row in range(4):
        for at in range(0, 512, 32):
            x = values[row, at : at + 32].astype(np.float64)
            weights = importance[at : at + 32] * np.sqrt(np.square(x).mean() + np.square(x))
            ours += (weights * off[row, at : at + 32] ** 2).sum()
            theirs += least_error(x, weights, np.asarray(levels, np.float64))
    assert ours < 1.02 * theirs


@pytest.mark.parametrize("type", [TQ1_0, TQ2_0], ids=name)
@pytest.mark.parametrize("scale", [0.0123, 1.0, 3e-5, 700.0])
def test_ternary_weights_stay_what_they_are(type, scale):
    codes = np.random.default_rng(3).integers(-1, 2, (16, 512)).astype(np.float32)
    codes[4, :256] = 0
    values = codes * np.float32(scale)
    error = lost(values, type)
    assert np.abs(error).max() <= max(scale * 2**-11, 2**-25)
    assert (np.sign(values + error) == codes).all()
    scales = quantise(type, values).reshape(-1, 54 if type == TQ1_0 else 66)[:, -2:]
    assert (
        len(np.unique(scales.copy().view(np.float16))) == 2
    )  # that of all blocks, and none of the empty one


@pytest.mark.parametrize("type", MADE, ids=name)
@settings(max_examples=40, deadline=None)
@given(
    values=arrays(
        np.float32,
        (1, 256),
        elements=st.floats(-65504, 65504, width=32)
        | st.floats(-1, 1, width=32)
        | st.sampled_from([0.0, 1.0, -1.0, 1e-30, -3e-42, 60000.0]),
        fill=st.sampled_from([0.0, 0.5, -2.0]).map(np.float32),
    )
)
def test_any_values_come_out_near(type, values):
    error = lost(values, type)
    peak = np.abs(values).max()
    assert np.isfinite(error).all()
    # No value is off by more than the largest; scales below float16 cannot be told from zero.
    assert np.abs(error).max() <= peak * 1.01 + 1e-6


@pytest.mark.parametrize("type", MADE, ids=name)
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.02])
def test_constant_blocks(type, value):
    values = np.full((2, 512), value, np.float32)
    error = np.abs(lost(values, type)).max()
    steps = {IQ4_NL: 0.07, IQ4_XS: 0.07, MXFP4: 0.2}  # no level, or no scale, where the value is
    assert error <= abs(value) * steps.get(type, 0.02)


@pytest.mark.parametrize("type", MADE, ids=name)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e6])
def test_values_that_no_scale_can_hold_are_refused(type, value):
    values = np.zeros((3, 256), np.float32)
    values[2, 17] = value
    with pytest.raises(OverflowError):
        quantise(type, values)


def test_what_cannot_be_quantised_is_refused():
    values = np.zeros((2, 100), np.float32)
    with pytest.raises(ValueError, match="no quantiser"):
        quantise(Type.Q4_0, values)
    with pytest.raises(ValueError, match="no quantiser"):
        quantise(Type.F16, np.zeros((2, 32), np.float32))
    with pytest.raises(ValueError, match="weights"):
        quantise(Type.Q4_0, np.zeros((2, 32), np.float32), np.ones(31, np.float32))
    assert quantise(Type.Q4_0, np.zeros((0, 32), np.float32)).shape == (0, 18)
