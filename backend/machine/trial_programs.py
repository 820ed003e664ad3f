"""Small programs for the engine whose weights mean nothing, made of the steps that a model is made of.

Products are tried on weights that no cache holds, in steps as a layer of a model has them: then memory
and arithmetic weigh as they do in a model. What is multiplied does not change how long it takes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.quants import type_named
from ext.engine import Engine
from ext.matrix import MatrixRef
from ext.quants import row_bytes
from ext.steps import Buffer

_HIDDEN, _NARROW, _FORWARD = 1024, 256, 2816  # widths of a layer
TOKENS = 60  # of a prompt: five tiles
HEADS, WIDTH, DEPTH = 16, 128, 540  # of attention
_VOCABULARY = 32768
_ONES = {"F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A program, the weights that a token is multiplied with, the values that are normalised and turned
    for it, and how many times it attends.
    """

    engine: Engine
    weights: int = 0
    normalised: int = 0
    turned: int = 0
    layers: int = 0
    logits: Buffer | None = None


def can_multiply(name: str) -> bool:
    """Return whether the engine has a product for this tensor type."""
    try:
        return row_bytes(type_named(name).id, _HIDDEN) > 0
    except KeyError:
        return False


def layers(name: str, least: int, threads: int, tokens: int) -> Program:
    """Return whole layers, at least `least` bytes of their matrices: more than the caches hold."""
    engine = Engine(threads, tokens)
    hidden, query, mixed = (engine.buffer(_HIDDEN) for _ in range(3))
    k, v = engine.buffer(_NARROW), engine.buffer(_NARROW)
    gate, up = engine.buffer(_FORWARD), engine.buffer(_FORWARD)
    angles = np.ones(WIDTH // 2, np.float32)
    weights, normalised, size, count = 0, 0, 0, 0

    def product(x: Buffer, outs: list[Buffer], add: bool = False) -> None:
        nonlocal weights, normalised, size
        matrices: list[MatrixRef] = []
        for out in outs:
            matrices.append(_matrix(engine, name, out.width, x.width))
            weights += out.width * x.width
            size += matrices[-1].bytes
        normalised += x.width
        engine.norm(x, np.ones(x.width, np.float32), 1e-5, matrices)
        engine.linear(matrices, outs, add=add)

    while size < least:
        keys, values = (
            engine.cache(_NARROW // WIDTH, tokens, WIDTH, "f16", side) for side in (True, False)
        )
        product(hidden, [query, k, v])
        engine.rope(query, k, v, keys, values, angles, True)
        engine.attend(query, mixed, keys, values, WIDTH**-0.5)
        product(mixed, [hidden], add=True)
        product(hidden, [gate, up])
        engine.glu(gate, up, "silu")
        product(gate, [hidden], add=True)
        count += 1
    engine.finish(16)
    rng = np.random.default_rng(0)
    engine.write(hidden, rng.standard_normal((tokens, _HIDDEN)).astype(np.float32))
    return Program(engine, weights, normalised, count * (_HIDDEN + 2 * _NARROW), count)


def _matrix(engine: Engine, name: str, rows: int, cols: int) -> MatrixRef:
    kind = type_named(name).id
    size = rows * row_bytes(kind, cols) + 32  # of I2_S a scale follows
    if name in _ONES:  # these are multiplied where they lie, so each needs bytes of its own
        data: npt.NDArray[np.uint8] = np.ones(size // int(_ONES[name][-1]), _ONES[name]).view(
            np.uint8
        )
    elif name == "BF16":
        data = np.full(size // 2, 0x3F80, "<u2").view(np.uint8)
    else:
        data = np.zeros(size, np.uint8)
    return engine.matrix(kind, data, rows, cols)


def split_head(name: str, threads: int) -> Program:
    """Return an output matrix, Q6_K or Q8_0, of which a token reads the upper bits."""
    rng, kind = np.random.default_rng(0), type_named(name)
    count = _VOCABULARY * _HIDDEN // kind.block_size
    blocks = rng.integers(0, 256, (count, kind.type_size), np.uint8)
    scale = slice(208, 210) if name == "Q6_K" else slice(0, 2)
    blocks[:, scale] = np.array([0.001], "<f2").view(np.uint8)
    engine = Engine(threads, 16)
    x, logits = engine.buffer(_HIDDEN), engine.buffer(_VOCABULARY)
    engine.cache(1, 16, 16, "f32", False)
    matrix = engine.matrix(kind.id, blocks.reshape(-1), _VOCABULARY, _HIDDEN, split=True)
    engine.norm(x, None, 1e-5, [matrix], last_only=True)
    engine.linear([matrix], [logits], last_only=True)
    engine.finish(_VOCABULARY)
    engine.write(x, rng.standard_normal((16, _HIDDEN)).astype(np.float32))
    engine.keep = 40  # as for the usual sampling
    return Program(engine, _VOCABULARY * _HIDDEN, _HIDDEN, logits=logits)


def attention(kv_heads: int, least: int, threads: int) -> Program:
    """Return the attention of layers, whose keys and values are at least `least` bytes."""
    engine = Engine(threads, TOKENS)
    q, out = engine.buffer(HEADS * WIDTH), engine.buffer(HEADS * WIDTH)
    k, v = engine.buffer(kv_heads * WIDTH), engine.buffer(kv_heads * WIDTH)
    angles, count = np.ones(WIDTH // 2, np.float32), 0
    while not count or engine.cache_bytes < least:
        keys = engine.cache(kv_heads, DEPTH, WIDTH, "f16", True)
        values = engine.cache(kv_heads, DEPTH, WIDTH, "f16", False)
        engine.rope(q, k, v, keys, values, angles, True)
        engine.attend(q, out, keys, values, WIDTH**-0.5)
        count += 1
    engine.finish(16)
    engine.fill_caches(DEPTH)
    turned = count * (HEADS + 2 * kv_heads) * WIDTH
    return Program(engine, turned=turned, layers=count)
