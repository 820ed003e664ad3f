"""One matrix product through the real engine: pack, prepare, multiply, as in a model."""

import numpy as np

from ext.engine import Engine


def product(type, data, rows, cols, x, *, threads=1, add=None, bias=None, pack=True):
    """Return x @ matrix.T as the engine computes it; `add` is what the result is added onto."""
    tokens = len(x)
    engine = Engine(threads, max(tokens, 16))
    source, out = engine.buffer(cols), engine.buffer(rows)
    engine.cache(1, tokens, 16, "f32", False)
    matrix = engine.matrix(type, data, rows, cols, pack=pack)
    engine.norm(source, None, 1e-5, [matrix])
    engine.linear([matrix], [out], None if bias is None else [bias], add=add is not None)
    engine.finish(16)
    engine.write(source, np.ascontiguousarray(x, dtype=np.float32))
    if add is not None:
        engine.write(out, np.ascontiguousarray(add, dtype=np.float32))
    assert engine.run(np.zeros(tokens, np.int32), 0, tokens)
    return engine.read(out, tokens)


def row_quantised(x):
    """BitNet b1.58's activations, in float32 as PyTorch does it: (int8 codes, scale of each token)."""
    x = np.asarray(x, dtype=np.float32)
    most = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))
    factor = np.float32(127) / most
    return np.clip(np.rint(x * factor), -128, 127).astype(np.int32), np.float32(1) / factor
