"""Random tensors of every type that the engine computes with, as raw bytes and as float32."""

import gguf
import numpy as np

from ext.quants import dequantise

F32, F16, BF16 = 0, 1, 30
Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 = 2, 3, 6, 7, 8
Q2_K, Q3_K, Q4_K, Q5_K, Q6_K = 10, 11, 12, 13, 14
IQ4_NL, IQ4_XS, MXFP4 = 20, 23, 39
IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S = 16, 17, 22, 18, 21
TQ1_0, TQ2_0, I2_S = 34, 35, 36
FLOATS = (F32, F16, BF16)
SMALL = (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4)  # blocks of 32 values
CODEBOOKS = (IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S)  # nothing here makes them of weights
BLOCKS = (*SMALL, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS, *CODEBOOKS)
TERNARY = (TQ1_0, TQ2_0, I2_S)
NAMES = (*FLOATS, *BLOCKS, *TERNARY)
# where the float16 factors of a block stand
HALVES = {
    Q4_0: (0,), Q4_1: (0, 2), Q5_0: (0,), Q5_1: (0, 2), Q8_0: (0,), Q2_K: (80, 82), Q3_K: (108,),
    Q4_K: (0, 2), Q5_K: (0, 2), Q6_K: (208,), IQ4_NL: (0,), IQ4_XS: (0,),
    **dict.fromkeys(CODEBOOKS, (0,)),
}  # fmt: skip


def random_bytes(rng, type, rows, cols):
    """Valid bytes of a tensor: quantised types have random codes and moderate scales."""
    if type in (F32, F16, BF16):
        values = rng.standard_normal((rows, cols)).astype(np.float32)
        return (
            np.ascontiguousarray(gguf.quants.quantize(values, gguf.GGMLQuantizationType(type)))
            .view(np.uint8)
            .reshape(-1)
        )
    if type == I2_S:
        codes = rng.integers(0, 3, (rows * cols // 128, 4, 32), dtype=np.uint8)
        packed = codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]
        tail = np.zeros(8, np.float32)
        tail[0] = 0.37
        return np.concatenate([packed.reshape(-1), tail.view(np.uint8)])
    if type in (TQ1_0, TQ2_0):
        values = (rng.integers(-1, 2, (rows, cols)) * np.float32(0.5)).astype(np.float32)
        values[:, ::256] = 0.5  # every block has its scale
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType(type)).reshape(-1)
    size, bytes_ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(type)]
    blocks = rng.integers(0, 256, (rows * cols // size, bytes_), dtype=np.uint8)
    for at in HALVES.get(type, ()):
        scale = (rng.standard_normal(len(blocks)) * 0.01).astype(np.float16)
        blocks[:, at : at + 2] = scale.view(np.uint8).reshape(-1, 2)
    if type == MXFP4:
        blocks[:, 0] = rng.integers(118, 124, len(blocks))
    return blocks.reshape(-1)


def as_float(type, data, rows, cols):
    """What the bytes mean, by the engine's exact conversion."""
    return dequantise(type, data, rows, cols)
