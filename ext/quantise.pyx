# cython: language_level=3, boundscheck=False, wraparound=False
"""From float32 to the types of GGUF, without the GIL: threads share a tensor by its rows."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from ext.kernels cimport Format, format_of, type_row_bytes

from ext import cpu

cdef extern from "kernels/quantisers/quantise.h" nogil:
    enum:
        QUANTISE_FINE
        QUANTISE_UNKNOWN
        QUANTISE_VALUES
    ctypedef struct Parts:
        uint8_t code[256]
    ctypedef int (*Quantise)(int, const float *, int64_t, int64_t, const float *, uint8_t *) noexcept nogil
    Quantise quantise_for(const char *wanted)
    void put_together(const Format *f, const Parts *p, uint8_t *block)


cdef extern from *:
    """
    static void take_apart_by(const Format *f, const uint8_t *block, Parts *parts) { f->take_apart(block, parts); }
    static int block_bytes(const Format *f) { return f->bytes; }
    static int is_made(const Format *f) { return f && f->scaling != SCALE_ODD; } /* nothing looks for points of codebooks */
    """
    void take_apart_by(const Format *f, const uint8_t *block, Parts *parts) noexcept nogil
    int block_bytes(const Format *f) noexcept nogil
    bint is_made(const Format *f) noexcept nogil


def quantise(int type, const float[:, ::1] values, importance=None):
    """Return rows of float32 as the bytes of a block format: uint8 [rows, bytes of a row].

    `importance`: a weight for the squared error of each column, float32. The same values give the
    same bytes on every processor. Raises ValueError for an unknown type or rows that do not fill
    blocks, OverflowError for a value that is no number or beyond float16.
    """
    cdef int64_t rows = values.shape[0], cols = values.shape[1]
    cdef size_t row = type_row_bytes(type, cols)
    cdef const float[::1] weights
    cdef const float *w = NULL
    cdef int status
    name = cpu.isa().encode()
    cdef Quantise run = quantise_for(name)
    if row == 0 or not is_made(format_of(type)):
        raise ValueError(f"type {type} has no quantiser for rows of {cols}")
    out = np.empty((rows, row), dtype=np.uint8)
    cdef uint8_t[:, ::1] view = out
    if importance is not None:
        weights = importance
        if weights.shape[0] != cols:
            raise ValueError(f"{weights.shape[0]} weights for {cols} columns")
        w = &weights[0]
    if rows == 0 or cols == 0:
        return out
    with nogil:
        status = run(type, &values[0, 0], rows, cols, w, &view[0, 0])
    if status == QUANTISE_VALUES:
        raise OverflowError("a value that is no number, or beyond float16")
    return out


def rejoin(int type, const uint8_t[::1] data):
    """Take blocks apart and put them together again; for tests: nothing may be lost."""
    cdef const Format *f = format_of(type)
    cdef Parts parts
    if not is_made(f):
        raise ValueError(f"type {type} has no blocks that are made here")
    cdef int size = block_bytes(f)
    cdef int64_t i
    out = np.empty(data.shape[0], dtype=np.uint8)
    cdef uint8_t[::1] view = out
    for i in range(data.shape[0] // size):
        take_apart_by(f, &data[i * size], &parts)
        put_together(f, &parts, &view[i * size])
    return out
