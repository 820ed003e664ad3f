"""Rows of a table, from memory and from a file."""

import os

import numpy as np
import pytest

from ext.engine import Engine

ROWS, COLS = 500, 96
IDS = np.array([0, 7, 499, 7, 250], np.int32)


def embedded(values, file=-1, offset=0):
    engine = Engine(2, 16)
    out = engine.buffer(COLS)
    engine.cache(1, 16, 16, "f32", False)
    data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    table = engine.matrix(0, data, ROWS, COLS, pack=False)
    engine.embed(table, out, 2.0, file, offset)
    engine.finish(16)
    assert engine.run(IDS, 0, len(IDS))
    return engine.read(out, len(IDS))


@pytest.fixture
def values():
    return np.random.default_rng(0).standard_normal((ROWS, COLS)).astype(np.float32)


def test_from_memory(values):
    np.testing.assert_array_equal(embedded(values), 2 * values[IDS])


def test_from_a_file_at_an_offset(values, tmp_path):
    (tmp_path / "t").write_bytes(b"x" * 77 + values.tobytes())
    with (tmp_path / "t").open("rb") as file:
        other = np.zeros_like(values)  # what is in memory is not looked at
        np.testing.assert_array_equal(embedded(other, file.fileno(), 77), 2 * values[IDS])


def test_memory_helps_out_where_the_file_cannot_be_read(values, tmp_path):
    (tmp_path / "t").write_bytes(values.tobytes()[: COLS * 4 * 300])  # cut short behind row 300
    with (tmp_path / "t").open("rb") as file:
        np.testing.assert_array_equal(embedded(values, file.fileno()), 2 * values[IDS])
    descriptor = os.open(tmp_path / "t", os.O_RDONLY)
    os.close(descriptor)
    np.testing.assert_array_equal(embedded(values, descriptor), 2 * values[IDS])
