"""Every fast product equals its scalar reference, and the reference equals plain arithmetic."""

import blocks
import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from product import product, row_quantised

from ext import cpu
from ext.engine import Engine
from ext.matrix import held_bytes

ISAS = cpu.available()
SHAPES = [(16, 256), (33, 512), (100, 768), (5, 4352)]


@pytest.fixture(params=ISAS)
def isa(request, monkeypatch):
    monkeypatch.setenv("STERNA_ISA", request.param)
    return request.param


def inputs(rng, tokens, cols, kind="normal"):
    x = rng.standard_normal((tokens, cols)).astype(np.float32)
    if kind == "spiky":
        x[:, 3] = 1e4
    elif kind == "zero":
        x[:] = 0
    elif kind == "tiny":
        x *= 1e-30
    elif kind == "huge":
        x *= 1e30
    return x


@pytest.mark.parametrize("type", [t for t in blocks.NAMES if t != blocks.I2_S])
def test_dequantised_rows_equal_the_gguf_package(type):
    rng = np.random.default_rng(type)
    data = blocks.random_bytes(rng, type, 7, 512)
    ours = blocks.as_float(type, data, 7, 512)
    theirs = gguf.quants.dequantize(data.reshape(7, -1), gguf.GGMLQuantizationType(type))
    np.testing.assert_array_equal(ours, theirs)


def test_i2_s_is_trits_times_one_scale():
    rng = np.random.default_rng(1)
    codes = rng.integers(-1, 2, (3, 256))
    blocks128 = (codes + 1).reshape(-1, 4, 32).astype(np.uint8)
    packed = blocks128[:, 0] << 6 | blocks128[:, 1] << 4 | blocks128[:, 2] << 2 | blocks128[:, 3]
    scale = np.array([0.73] + [0] * 7, np.float32)
    data = np.concatenate([packed.reshape(-1), scale.view(np.uint8)])
    np.testing.assert_array_equal(
        blocks.as_float(blocks.I2_S, data, 3, 256), codes * np.float32(0.73)
    )


@pytest.mark.parametrize("kind", ["normal", "spiky", "zero", "tiny", "huge"])
@pytest.mark.parametrize("tokens", [1, 2, 4, 5, 8, 12, 14, 25])
@pytest.mark.parametrize("type", blocks.TERNARY)
def test_ternary_products_are_exact_in_integers(isa, type, tokens, kind):
    rng = np.random.default_rng(tokens)
    for rows, cols in SHAPES:
        data = blocks.random_bytes(rng, type, rows, cols)
        weights = blocks.as_float(type, data, rows, cols)
        scale = np.abs(weights).max()
        x = inputs(rng, tokens, cols, kind)
        q, act = row_quantised(x)
        trits = np.rint(weights / scale).astype(np.int32)
        exact = (q @ trits.T).astype(np.float32) * (act * scale)
        np.testing.assert_array_equal(product(type, data, rows, cols, x, threads=2), exact)


@pytest.mark.parametrize("tokens", [1, 3, 13])
@pytest.mark.parametrize("type", blocks.BLOCKS + blocks.FLOATS)
def test_fast_products_equal_the_scalar_ones(type, tokens, monkeypatch):
    rng = np.random.default_rng(type)
    for rows, cols in SHAPES:
        data = blocks.random_bytes(rng, type, rows, cols)
        x = inputs(rng, tokens, cols)
        found = {}
        for name in ISAS:
            monkeypatch.setenv("STERNA_ISA", name)
            found[name] = product(type, data, rows, cols, x)
        size = np.abs(found["scalar"]).max()
        for name in ISAS:
            np.testing.assert_allclose(
                found[name], found["scalar"], atol=2e-6 * size * np.sqrt(cols) / 16
            )


@pytest.mark.parametrize("type", blocks.BLOCKS + blocks.FLOATS)
def test_products_are_near_those_of_float64(isa, type):
    """Float types round only in sums; block types by their 8-bit activations: a step of 1/127 of the
    largest of 32 values, so an error below 1 % of the norm for normal inputs. (Minima are the same for a
    whole span and may cancel: the error is measured beside what is summed, not beside the sum.)"""
    rng = np.random.default_rng(type)
    data = blocks.random_bytes(rng, type, 48, 1024)
    x = inputs(rng, 5, 1024)
    want = x.astype(np.float64) @ blocks.as_float(type, data, 48, 1024).astype(np.float64).T
    got = product(type, data, 48, 1024, x)
    limit = 1e-5 if type in blocks.FLOATS else 1e-2
    assert np.linalg.norm(got - want) < limit * np.linalg.norm(want)


@pytest.mark.parametrize("type", blocks.SMALL)
def test_rows_that_are_no_multiple_of_256(isa, type):
    rng = np.random.default_rng(9)
    data = blocks.random_bytes(rng, type, 10, 288)
    x = inputs(rng, 3, 288)
    want = x @ blocks.as_float(type, data, 10, 288).T
    got = product(type, data, 10, 288, x)
    assert np.linalg.norm(got - want) < 1e-2 * np.linalg.norm(want)


@pytest.mark.parametrize("type", blocks.FLOATS)
@pytest.mark.parametrize("cols", [288, 512, 517])
def test_prompts_through_float_matrices_of_many_rows(isa, type, cols):
    rng = np.random.default_rng(9)
    data = blocks.random_bytes(rng, type, 600, cols)
    x = inputs(rng, 7, cols)
    x /= np.sqrt((x**2).mean(axis=1, keepdims=True))  # as the norm before a product does
    want = x @ blocks.as_float(type, data, 600, cols).T
    np.testing.assert_allclose(
        product(type, data, 600, cols, x), want, rtol=0, atol=1e-4 * np.abs(want).max()
    )


@pytest.mark.parametrize("type", [blocks.TQ1_0, blocks.TQ2_0])
def test_ternary_rows_with_several_scales_run_as_blocks(isa, type):
    rng = np.random.default_rng(3)
    values = rng.standard_normal((20, 512)).astype(np.float32)
    data = gguf.quants.quantize(values, gguf.GGMLQuantizationType(type)).reshape(-1)
    x = inputs(rng, 2, 512)
    want = x @ blocks.as_float(type, data, 20, 512).T
    got = product(type, data, 20, 512, x)
    assert np.linalg.norm(got - want) < 1e-2 * np.linalg.norm(want)


@pytest.mark.parametrize("type", [blocks.F32, blocks.Q8_0, blocks.TQ2_0])
@pytest.mark.parametrize("tokens", [1, 2, 13, 26])
def test_residual_and_bias(isa, type, tokens):
    rng = np.random.default_rng(4)
    data = blocks.random_bytes(rng, type, 300, 256)
    x, base = inputs(rng, tokens, 256), inputs(rng, tokens, 300)
    bias = rng.standard_normal(300).astype(np.float32)
    plain = product(type, data, 300, 256, x)
    np.testing.assert_allclose(product(type, data, 300, 256, x, add=base), base + plain, rtol=1e-6)
    np.testing.assert_allclose(product(type, data, 300, 256, x, bias=bias), plain + bias, rtol=1e-6)
    both = product(type, data, 300, 256, x, add=base, bias=bias)
    np.testing.assert_allclose(both, base + plain + bias, rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(blocks.NAMES)),
    st.integers(1, 70),
    st.integers(1, 5),
    st.integers(1, 30),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
def test_threads_and_blocks_change_nothing(type, rows, blocks_in_row, tokens, threads, seed):
    """A token's result depends neither on the tokens beside it nor on the number of threads."""
    rng = np.random.default_rng(seed)
    cols = 256 * blocks_in_row
    data = blocks.random_bytes(rng, type, rows, cols)
    x = inputs(rng, tokens, cols)
    together = product(type, data, rows, cols, x, threads=threads)
    alone = np.concatenate([product(type, data, rows, cols, x[t : t + 1]) for t in range(tokens)])
    if type in blocks.FLOATS:
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    else:
        np.testing.assert_array_equal(together, alone)


def test_a_tensor_too_short_for_its_shape_is_refused():
    data = blocks.random_bytes(np.random.default_rng(0), blocks.Q8_0, 4, 64)
    with pytest.raises(ValueError, match="do not fit"):
        product(blocks.Q8_0, data[:-1], 4, 64, np.zeros((1, 64)))
    with pytest.raises(ValueError, match="do not fit"):
        product(blocks.Q8_0, data, 4, 48, np.zeros((1, 48)))


@pytest.mark.parametrize("type", blocks.NAMES)
def test_the_bytes_of_a_packed_matrix_are_known_before(isa, type):
    data = blocks.random_bytes(np.random.default_rng(3), type, 37, 512)
    engine = Engine(1, 12)
    matrix = engine.matrix(type, data, 37, 512)
    rows = 48 * 4 if type in blocks.TERNARY else 0  # scales of rows lie apart
    assert held_bytes(type, 37, 512) == matrix.bytes + rows
