"""Ternary weights in the three layouts of GGUF, packed and unpacked by definition, in numpy.

Codes 0, 1, 2 stand for -1, 0, +1.
I2_S (36): 128 codes in 32 bytes, byte p = c[p] << 6 | c[32+p] << 4 | c[64+p] << 2 | c[96+p]; after all
  codes one float32 scale, padded to 32 bytes.
TQ1_0 (34): 256 codes in 54 bytes. Five codes a byte as ceil(v * 256 / 243), v base 3 with the first
  code as its highest digit: 32 bytes of codes m+32n, 16 bytes of 160+m+16n, 4 bytes of four codes
  240+m+4n (their fifth digit zero); then the scale as float16.
TQ2_0 (35): 256 codes in 66 bytes, byte 32b+m = sum of c[128b+m+32n] << 2n; then the scale as float16.
"""

import numpy as np

TQ1_0, TQ2_0, I2_S = 34, 35, 36
TERNARY = {"TQ1_0": TQ1_0, "TQ2_0": TQ2_0, "I2_S": I2_S}


def absmean(weights):
    """Return (codes 0..2 uint8, scale) as BitNet b1.58 quantises; the scale is exact in float16."""
    scale = np.float32(np.float16(max(float(np.abs(weights).mean()), 1e-5)))
    codes = np.clip(np.rint(weights / scale), -1, 1).astype(np.int8) + 1
    return codes.astype(np.uint8), scale


def pack(codes, scale, type):
    """Return the bytes of a tensor of `codes` (rows, cols)."""
    if type == I2_S:
        c = codes.reshape(-1, 4, 32)
        packed = c[:, 0] << 6 | c[:, 1] << 4 | c[:, 2] << 2 | c[:, 3]
        return packed.tobytes() + np.float32(scale).tobytes() + bytes(28)
    d = np.float16(scale).tobytes()
    blocks = []
    for c in codes.reshape(-1, 256):
        if type == TQ2_0:
            h = c.reshape(2, 4, 32)
            body = h[:, 0] | h[:, 1] << 2 | h[:, 2] << 4 | h[:, 3] << 6
            blocks.append(body.tobytes() + d)
        else:
            parts = (c[:160].reshape(5, 32), c[160:240].reshape(5, 16), c[240:].reshape(4, 4))
            blocks.append(b"".join(_base_three(p) for p in parts) + d)
    return b"".join(blocks)


def _base_three(digits):
    """Bytes of base-3 numbers whose digits, highest first, run down the columns."""
    v = sum(digits[n].astype(np.uint32) * 3 ** (4 - n) for n in range(len(digits)))
    return ((v * 256 + 242) // 243).astype(np.uint8).tobytes()


def ternary_values(data, shape, type):
    """Return float32 weights of `shape` from the bytes of a tensor."""
    raw = np.frombuffer(data, np.uint8)
    count = int(np.prod(shape))
    if type == I2_S:
        body, scale = raw[: count // 4].reshape(-1, 32), raw[count // 4 :][:4].view(np.float32)[0]
        codes = np.stack([body >> s & 3 for s in (6, 4, 2, 0)], axis=1)
        return ((codes.astype(np.float32) - 1) * scale).reshape(shape)
    blocks = raw.reshape(count // 256, -1)
    scale = np.ascontiguousarray(blocks[:, -2:]).view(np.float16).astype(np.float32)
    if type == TQ2_0:
        body = blocks[:, :64].reshape(-1, 2, 1, 32)
        codes = body >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3
    else:
        ends = ((0, 32, 5), (32, 48, 5), (48, 52, 4))
        codes = np.concatenate(
            [_digit(blocks[:, a:b], n) for a, b, digits in ends for n in range(digits)], axis=1
        )
    codes = codes.reshape(len(blocks), 256)
    return ((codes.astype(np.float32) - 1) * scale).reshape(shape)


def _digit(column, n):
    return (column * np.uint8(3**n)).astype(np.uint16) * 3 >> 8


def ternary_bytes(weights, type):
    """Quantise float `weights` (rows, cols) by absmean: (bytes, the float32 weights they mean)."""
    codes, scale = absmean(weights)
    return pack(codes, scale, type), (codes.astype(np.float32) - 1) * scale
