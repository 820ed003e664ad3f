"""Read a GGUF for the oracles: by the `gguf` package, and I2_S (which it lacks) by its definition.

I2_S (microsoft/BitNet, utils/convert-hf-to-gguf-bitnet.py): each 128 consecutive codes c in
{0, 1, 2} take 32 bytes, byte p = c[p] << 6 | c[32+p] << 4 | c[64+p] << 2 | c[96+p]; after all codes
one little-endian float32 scale in 32 bytes. A weight is scale * (c - 1).
"""

from dataclasses import dataclass
from types import SimpleNamespace

import gguf
import numpy as np
import torch

I2_S = 36
TERNARY = {"TQ1_0", "TQ2_0", "I2_S"}


class _Reader(gguf.GGUFReader):
    def _build_tensors(self, start_offs, fields):
        is_i2_s = [int(field.parts[4][0]) == I2_S for field in fields]
        super()._build_tensors(
            start_offs, [f for f, i in zip(fields, is_i2_s, strict=True) if not i]
        )
        for field in (f for f, i in zip(fields, is_i2_s, strict=True) if i):
            shape = field.parts[3]
            at, size = int(start_offs + field.parts[5][0]), int(np.prod(shape)) // 4 + 32
            raw = self._get(at, np.uint8, size)
            kind = SimpleNamespace(name="I2_S")
            self.tensors.append(
                SimpleNamespace(name=field.name, shape=shape, tensor_type=kind, data=raw)
            )


@dataclass
class Weight:
    """A matrix [rows, cols] or a vector, dequantised to float32, and the type it was stored in."""

    value: torch.Tensor
    kind: str

    @property
    def ternary(self):
        return self.kind in TERNARY


def unpack_i2_s(raw, rows, cols):
    """Return the float32 matrix that the bytes of an I2_S tensor stand for."""
    count = rows * cols
    quarters = raw[: count // 4].reshape(-1, 1, 32) >> np.array([6, 4, 2, 0]).reshape(1, 4, 1)
    codes = (quarters & 3).astype(np.float32) - 1
    scale = raw[count // 4 : count // 4 + 4].view("<f4")[0]
    return codes.reshape(rows, cols) * scale


def read(path):
    """Return (metadata, weights by name) of a GGUF file."""
    reader = _Reader(path)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    weights = {}
    for tensor in reader.tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        if tensor.tensor_type.name == "I2_S":
            values = unpack_i2_s(np.asarray(tensor.data), *shape)
        else:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        value = torch.from_numpy(np.array(values, np.float32).reshape(shape))
        weights[tensor.name] = Weight(value, tensor.tensor_type.name)
    return metadata, weights
