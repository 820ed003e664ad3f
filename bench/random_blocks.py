"""Random bytes that are valid weights of each GGUF type, as fast as the disk takes them.

Products of random weights cost what products of trained ones cost, so nothing is quantised here:
the codes are drawn directly and the scale is set so that the weights have the wanted spread.
"""

from collections.abc import Callable
from functools import partial

import gguf
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Generator = np.random.Generator

F32, F16, Q8_0, Q6_K, BF16, TQ1_0, TQ2_0, I2_S = 0, 1, 8, 14, 30, 34, 35, 36
TYPES: dict[str, int] = {
    "F32": F32, "F16": F16, "BF16": BF16, "Q8_0": Q8_0, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7,
    "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": Q6_K, "IQ4_NL": 20, "IQ4_XS": 23,
    "IQ2_XXS": 16, "IQ2_XS": 17, "IQ2_S": 22, "IQ3_XXS": 18, "IQ3_S": 21,
    "MXFP4": 39, "TQ1_0": TQ1_0, "TQ2_0": TQ2_0, "I2_S": I2_S,
}  # fmt: skip
TERNARY = (TQ1_0, TQ2_0, I2_S)
_BLOCKS: dict[int, tuple[int, int]] = {  # values, bytes
    F32: (1, 4), F16: (1, 2), BF16: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24),
    Q8_0: (32, 34), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), Q6_K: (256, 210),
    20: (32, 18), 23: (256, 136), 16: (256, 66), 17: (256, 74), 22: (256, 82), 18: (256, 98),
    21: (256, 110), 39: (32, 17), TQ1_0: (256, 54), TQ2_0: (256, 66), I2_S: (128, 32),
}  # fmt: skip
# Where the factor of a block stands; where that of its minima stands, and its share of the factor that
# brings the mean of random codes to zero.
_FACTORS: dict[int, tuple[int, int | None, float]] = {
    2: (0, None, 0), 3: (0, 2, -7.5), 6: (0, None, 0), 7: (0, 2, -15.5), 10: (80, 82, 1.5),
    11: (108, None, 0), 12: (0, 2, 7.5), 13: (0, 2, 15.5), 20: (0, None, 0), 23: (0, None, 0),
    **dict.fromkeys((16, 17, 22, 18, 21), (0, None, 0)),
}  # fmt: skip
_I2_S_TAIL = 32  # one float32 scale for the whole tensor, then padding

# Every byte that four codes of {0, 1, 2} can make, two bits each.
_CRUMBS = np.array(
    [a << 6 | b << 4 | c << 2 | d for a in range(3) for b in range(3) for c in range(3) for d in range(3)],
    np.uint8,
)  # fmt: skip
# Five base-3 digits in a byte, scaled so that multiplying by 3 brings the next one to the top.
_TRITS = np.array([-(-v * 256 // 243) for v in range(243)], np.uint8)
_FOUR_TRITS = _TRITS[::3]


def nbytes(type_: int, count: int) -> int:
    """Return the bytes that `count` weights of a type take; count fills whole blocks."""
    block, size = _BLOCKS[type_]
    if count % block:
        raise ValueError(f"{count} values do not fill blocks of {block}")
    return count // block * size + (_I2_S_TAIL if type_ == I2_S else 0)


def block_values(type_: int) -> int:
    """Return how many weights one block of a type holds."""
    return _BLOCKS[type_][0]


def random_blocks(rng: Generator, type_: int, count: int, spread: float) -> Bytes:
    """Return the bytes of `count` random weights of standard deviation `spread`.

    For I2_S these are the codes alone: `i2_s_tail` ends the tensor.
    """
    return _MAKERS[type_](rng, count, spread)


def i2_s_tail(spread: float) -> Bytes:
    """Return what follows the codes of an I2_S tensor: its scale, padded to 32 bytes."""
    tail = np.zeros(_I2_S_TAIL // 4, np.float32)
    tail[0] = _ternary_scale(spread)
    return tail.view(np.uint8)


def _ternary_scale(spread: float) -> np.float32:
    # Codes -1, 0, +1 are equally likely: their variance is 2/3. Rounded to half precision so that
    # the same model has the same weights in every ternary type.
    return np.float32(np.float16(spread * 1.5**0.5))


def _halves(value: float, signs: NDArray[np.bool_] | None, count: int) -> Bytes:
    scales = np.full(count, value, np.float16)
    if signs is not None:
        scales[signs] *= np.float16(-1)
    return scales.view(np.uint8).reshape(count, 2)


def _f32(rng: Generator, count: int, spread: float) -> Bytes:
    floats: NDArray[np.float32] = rng.standard_normal(count, np.float32) * np.float32(spread)
    return floats.view(np.uint8)


def _short_floats(rng: Generator, count: int, spread: float, mantissa: int, bias: int) -> Bytes:
    # Random sign and mantissa under one exponent: magnitudes uniform in [2^e, 2^(e+1)).
    exponent = round(np.log2(spread / 1.53))
    bits = rng.integers(0, 1 << 16, count, np.uint16)
    keep = np.uint16(0x8000 | (1 << mantissa) - 1)
    floats: NDArray[np.uint16] = bits & keep | np.uint16(exponent + bias << mantissa)
    return floats.view(np.uint8)


def _f16(rng: Generator, count: int, spread: float) -> Bytes:
    return _short_floats(rng, count, spread, 10, 15)


def _bf16(rng: Generator, count: int, spread: float) -> Bytes:
    return _short_floats(rng, count, spread, 7, 127)


def _blocks(rng: Generator, type_: int, count: int, spread: float) -> Bytes:
    """Random codes and scales; the factors of the blocks, with random signs, set the spread."""
    values, size = _BLOCKS[type_]
    at, at_min, share = _FACTORS[type_]
    blocks = rng.integers(0, 256, (count // values, size), np.uint8)
    sample = blocks[:64].copy()

    def put(to: Bytes, factor: float, signs: NDArray[np.bool_]) -> None:
        to[:, at : at + 2] = _halves(factor, signs, len(to))
        if at_min is not None:
            to[:, at_min : at_min + 2] = _halves(factor * share, signs, len(to))

    put(sample, 1.0, np.arange(len(sample)) % 2 == 1)
    wide = gguf.quants.dequantize(sample, gguf.GGMLQuantizationType(type_)).std()
    put(blocks, spread / float(wide), rng.random(len(blocks)) < 0.5)
    return blocks.reshape(-1)


def _mxfp4(rng: Generator, count: int, spread: float) -> Bytes:
    blocks = rng.integers(0, 256, (count // 32, 17), np.uint8)
    blocks[:, 0] = round(np.log2(spread / 5.9)) + 128
    return blocks.reshape(-1)


def _q8_0(rng: Generator, count: int, spread: float) -> Bytes:
    blocks = rng.integers(0, 255, (count // 32, 34), np.uint8) - np.uint8(127)
    blocks[:, :2] = _halves(spread / 73.6, None, len(blocks))
    return blocks.reshape(-1)


def _q6_k(rng: Generator, count: int, spread: float) -> Bytes:
    blocks = rng.integers(0, 256, (count // 256, 210), np.uint8)
    blocks[:, 192:208] = rng.integers(64, 128, (len(blocks), 16), np.uint8)
    blocks[:, 208:] = _halves(spread / (18.5 * 97), rng.random(len(blocks)) < 0.5, len(blocks))
    return blocks.reshape(-1)


def _tq1_0(rng: Generator, count: int, spread: float) -> Bytes:
    blocks = np.empty((count // 256, 54), np.uint8)
    blocks[:, :48] = _TRITS[rng.integers(0, 243, (len(blocks), 48), np.uint8)]
    blocks[:, 48:52] = _FOUR_TRITS[rng.integers(0, 81, (len(blocks), 4), np.uint8)]
    blocks[:, 52:] = _halves(float(_ternary_scale(spread)), None, len(blocks))
    return blocks.reshape(-1)


def _tq2_0(rng: Generator, count: int, spread: float) -> Bytes:
    blocks = np.empty((count // 256, 66), np.uint8)
    blocks[:, :64] = _CRUMBS[rng.integers(0, 81, (len(blocks), 64), np.uint8)]
    blocks[:, 64:] = _halves(float(_ternary_scale(spread)), None, len(blocks))
    return blocks.reshape(-1)


def _i2_s(rng: Generator, count: int, spread: float) -> Bytes:
    codes: Bytes = _CRUMBS[rng.integers(0, 81, count // 4, np.uint8)]
    return codes


def _with_type(type_: int, rng: Generator, count: int, spread: float) -> Bytes:
    return _blocks(rng, type_, count, spread)


_MAKERS: dict[int, Callable[[Generator, int, float], Bytes]] = {
    F32: _f32, F16: _f16, BF16: _bf16, Q8_0: _q8_0, Q6_K: _q6_k, 39: _mxfp4,
    TQ1_0: _tq1_0, TQ2_0: _tq2_0, I2_S: _i2_s,
    **{type_: partial(_with_type, type_) for type_ in _FACTORS},
}  # fmt: skip
