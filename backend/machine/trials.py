"""Short trials of the engine's kernels on weights that mean nothing.

Products are tried on weights that no cache holds, in steps as a layer of a model has them: then memory
and arithmetic weigh as they do in a model. What is multiplied does not change how long it takes.
"""

import resource
import statistics
import time

import numpy as np
import numpy.typing as npt

from backend.quants import type_named
from ext.engine import Engine
from ext.matrix import MatrixRef
from ext.quants import row_bytes
from ext.steps import Buffer

_HIDDEN, _NARROW, _FORWARD = 1024, 256, 2816  # widths of a layer
_TOKENS = 60  # of a prompt: five tiles
_HEADS, _KV_HEADS, _WIDTH, _DEPTH = 16, 8, 128, 540  # of attention
_VOCABULARY = 32768
_PATIENCE = 5  # times as long as wanted, for runs that nobody disturbs
_ONES = {"F32": "<f4", "F16": "<f2"}


def can_multiply(name: str) -> bool:
    """Return whether the engine has a product for this tensor type."""
    try:
        return row_bytes(type_named(name).id, _HIDDEN) > 0
    except KeyError:
        return False


def products(name: str, threads: int, stream: int) -> tuple[float, float]:
    """Return weights a second in an answer, and weights times tokens a second in a prompt.

    `stream`: bytes of weights that an answer's pass reads at least, more than the caches hold.
    """
    engine, weights = _layers(name, stream, threads, 16)
    one = weights / _seconds(engine, 1, 0.03)
    del engine
    engine, weights = _layers(name, 1, threads, _TOKENS)
    return one, weights * _TOKENS / _seconds(engine, _TOKENS, 0.03, least=2)


def split_head(name: str, threads: int) -> float:
    """Return weights a second of an output matrix, Q6_K or Q8_0, of which a token reads the upper bits."""
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
    return _VOCABULARY * _HIDDEN / _seconds(engine, 1, 0.03, logits_from=0)


def attention(threads: int) -> tuple[float, float, float]:
    """Return multiplications a second over a long context, in an answer and in a prompt, and the
    seconds that a layer's attention takes in an answer when there is next to nothing to attend to.
    """
    layers = 4
    engine = Engine(threads, _TOKENS)
    q, out = engine.buffer(_HEADS * _WIDTH), engine.buffer(_HEADS * _WIDTH)
    k, v = engine.buffer(_KV_HEADS * _WIDTH), engine.buffer(_KV_HEADS * _WIDTH)
    angles = np.ones(_WIDTH // 2, np.float32)
    for _ in range(layers):
        keys = engine.cache(_KV_HEADS, _DEPTH, _WIDTH, "f16", True)
        values = engine.cache(_KV_HEADS, _DEPTH, _WIDTH, "f16", False)
        engine.rope(q, k, v, keys, values, angles, True)
        engine.attend(q, out, keys, values, _WIDTH**-0.5)
    engine.finish(16)
    first = _DEPTH - _TOKENS
    for at in range(0, first, _TOKENS):  # what is in a cache that nobody wrote may not be a number
        _seconds(engine, min(_TOKENS, first - at), 0, least=1, first=at)
    many = _seconds(engine, _TOKENS, 0.03, first=first)
    deep, none = _seconds(engine, 1, 0.02, first=_DEPTH - 1), _seconds(engine, 1, 0.02, first=15)
    work = 2 * _HEADS * _WIDTH * layers  # multiplications a token and position
    return (
        work * (_DEPTH - 16) / max(deep - none, 1e-9),
        work * _TOKENS * (first + _TOKENS / 2) / many,
        none / layers,
    )


def _layers(name: str, least: int, threads: int, tokens: int) -> tuple[Engine, int]:
    """Return a program of whole layers' products, at least `least` bytes of them, and its weights."""
    engine = Engine(threads, tokens)
    hidden, narrow = engine.buffer(_HIDDEN), engine.buffer(_NARROW)
    query, forward = engine.buffer(_HIDDEN), engine.buffer(_FORWARD)
    other, gate = engine.buffer(_NARROW), engine.buffer(_FORWARD)
    engine.cache(1, tokens, 16, "f32", False)
    count, size = 0, 0

    def step(x: Buffer, cols: int, outs: list[Buffer], add: bool = False) -> None:
        nonlocal count, size
        matrices: list[MatrixRef] = []
        for out in outs:
            matrices.append(_matrix(engine, name, out.width, cols))
            count += out.width * cols
            size += matrices[-1].bytes
        engine.norm(x, None, 1e-5, matrices)
        engine.linear(matrices, outs, add=add)

    while size < least:
        step(hidden, _HIDDEN, [query, narrow, other])
        step(query, _HIDDEN, [hidden], add=True)
        step(hidden, _HIDDEN, [gate, forward])
        step(gate, _FORWARD, [hidden], add=True)
    engine.finish(16)
    rng = np.random.default_rng(0)
    engine.write(hidden, rng.standard_normal((tokens, _HIDDEN)).astype(np.float32))
    return engine, count


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


def _seconds(
    engine: Engine,
    tokens: int,
    at_least: float,
    *,
    least: int = 3,
    first: int = 0,
    logits_from: int | None = None,
) -> float:
    """Return the seconds that a run takes, the median of at least so many runs and so much time.

    Runs in which another program took a core away do not count, as long as there are enough others.
    Where there are not, the processor time that the threads used stands in: it does not grow while they
    are put aside.
    """
    ids = np.zeros(tokens, np.int32)
    ends = tokens if logits_from is None else logits_from
    if at_least:
        engine.run(ids, first, ends)  # the first run wakes the threads and touches the pages
    undisturbed: list[float] = []
    every: list[float] = []
    began = time.perf_counter()
    while True:
        before, start, used = _taken_away(), time.perf_counter(), time.process_time()
        engine.run(ids, first, ends)
        now, used = time.perf_counter(), time.process_time() - used
        wall = now - start
        every.append(min(wall, max(used, wall) / engine.threads))
        if _taken_away() == before:
            undisturbed.append(wall)
        if len(undisturbed) >= least and now - began >= at_least:
            return statistics.median(undisturbed)
        if len(every) >= least and now - began >= _PATIENCE * at_least:
            return statistics.median(every)


def _taken_away() -> int:
    """Return how often this process had to give up a core."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
