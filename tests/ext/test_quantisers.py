"""The quantisers: what they lose, beside the reference of the gguf package and beside fixed bounds."""

import gguf
import numpy as np
import pytest
from blocks import BLOCKS, IQ4_NL, IQ4_XS, MXFP4, Q8_0, SMALL, TQ1_0, TQ2_0, random_bytes
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ext import cpu
from ext.quantise import quantise, rejoin
from ext.quants import dequantise

MADE = (*BLOCKS, TQ1_0, TQ2_0)
BY_PACKAGE = [type for type in (*SMALL, TQ1_0, TQ2_0) if type != IQ4_NL]  # it makes only these
# Root mean square of the error over that of the values, for normal values: what a file of the type
# must not exceed. They are the figures of these quantisers with a half percent of room.
BOUNDS = {
    Type.Q4_0: 0.0813, Type.Q4_1: 0.0699, Type.Q5_0: 0.0403, Type.Q5_1: 0.0338, Type.Q8_0: 0.0054,
    Type.IQ4_NL: 0.0767, Type.MXFP4: 0.1120, Type.Q2_K: 0.2686, Type.Q3_K: 0.1542, Type.Q4_K: 0.0709,
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
