"""Formats of codebooks (IQ2, IQ3) whole: every point of their grids; and sums at their greatest, of every format."""

import blocks
import gguf
import numpy as np
import pytest
from product import product

from ext import cpu
from ext.quantise import quantise, rejoin


def package(type):
    """The type as the gguf package has it."""
    return gguf.quants._type_traits[gguf.GGMLQuantizationType(type)]


def numbers(type, data):
    """The numbers of the points in these blocks."""
    data = data.reshape(-1, package(type).type_size).astype(np.int64)
    if type == blocks.IQ2_XXS:
        return data[:, 2:].reshape(-1, 8)[:, :4]
    if type == blocks.IQ2_XS:
        return (data[:, 2:66:2] | data[:, 3:66:2] << 8) & 511
    if type == blocks.IQ3_XXS:
        return data[:, 2:66]
    count, bits = (32, 2) if type == blocks.IQ2_S else (64, 1)
    high = data[:, 66:74, None] >> np.arange(0, 8, bits) & (1 << bits) - 1
    return data[:, 2 : 2 + count] | high.reshape(-1, count) << 8


@pytest.mark.parametrize("type", blocks.CODEBOOKS)
def test_every_point_of_a_grid_is_that_of_the_gguf_package(type):
    data = blocks.random_bytes(np.random.default_rng(type), type, 1000, 256)
    data.reshape(1000, -1)[::3, 1] &= 0x83  # factors that are subnormal in half precision
    theirs = package(type).dequantize(data.reshape(1000, -1))
    np.testing.assert_array_equal(blocks.as_float(type, data, 1000, 256), theirs)
    assert len(np.unique(numbers(type, data))) == package(type).grid_shape[0]


@pytest.mark.parametrize("type", blocks.CODEBOOKS)
def test_nothing_is_quantised_to_codebooks(type):
    with pytest.raises(ValueError, match="no quantiser"):
        quantise(type, np.zeros((1, 256), np.float32))
    with pytest.raises(ValueError, match="no blocks"):
        rejoin(type, np.zeros(256, np.uint8))


def greatest(type):
    """A block whose values are the greatest of the format, under a factor of 1."""
    block = np.full(package(type).type_size, 0x77 if type == blocks.MXFP4 else 0xFF, np.uint8)
    if type in blocks.CODEBOOKS:
        package(type).init_grid()
        low, high = divmod(int(package(type).grid[0, 0].sum(-1).argmax()), 256)[::-1]
        if type == blocks.IQ2_XXS:
            block[2:] = np.tile(np.array([low] * 4 + [0, 0, 0, 0xF0], np.uint8), 8)
        elif type == blocks.IQ2_XS:
            block[2:66] = np.tile(np.array([low, high], np.uint8), 32)
        elif type == blocks.IQ2_S:
            block[2:74] = [low] * 32 + [0] * 32 + [high * 0b01010101] * 8
        elif type == blocks.IQ3_XXS:
            block[2:] = [low] * 64 + [0, 0, 0, 0xF0] * 8
        else:
            block[2:106] = [low] * 64 + [high * 0xFF] * 8 + [0] * 32
    for at, factor in zip(blocks.HALVES.get(type, ()), (1, 0), strict=False):
        block[at : at + 2] = np.array([factor], "<f2").view(np.uint8)
    if type == blocks.MXFP4:
        block[0] = 127
    return block


@pytest.mark.parametrize("isa", cpu.available())
@pytest.mark.parametrize("tokens", [1, 13])
@pytest.mark.parametrize("type", blocks.BLOCKS)
def test_sums_of_the_greatest_values_do_not_overflow(type, tokens, isa, monkeypatch):
    monkeypatch.setenv("STERNA_ISA", isa)
    data = np.tile(greatest(type), 16 * 512 // package(type).block_size)
    weights = blocks.as_float(type, data, 16, 512).astype(np.float64)
    for sign in (1, -1):
        x = np.full((tokens, 512), sign, np.float32)
        np.testing.assert_allclose(product(type, data, 16, 512, x), x @ weights.T, rtol=1e-5)
