"""Random tensors of every type that the engine computes with, as raw bytes and as float32."""

import gguf
import numpy as np

from ext.quants import dequantise

F32, F16, Q4_0, Q8_0, Q6_K, BF16, TQ1_0, TQ2_0, I2_S = 0, 1, 2, 8, 14, 30, 34, 35, 36
FLOATS = (F32, F16, BF16)
BLOCKS = (Q8_0, Q4_0, Q6_K)
TERNARY = (TQ1_0, TQ2_0, I2_S)
NAMES = {
    F32: "F32", F16: "F16", Q4_0: "Q4_0", Q8_0: "Q8_0", Q6_K: "Q6_K",
    BF16: "BF16", TQ1_0: "TQ1_0", TQ2_0: "TQ2_0", I2_S: "I2_S",
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
    at = 208 if type == Q6_K else 0
    scale = (rng.standard_normal(len(blocks)) * 0.01).astype(np.float16)
    blocks[:, at : at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(-1)


def as_float(type, data, rows, cols):
    """What the bytes mean, by the engine's exact conversion."""
    return dequantise(type, data, rows, cols)
