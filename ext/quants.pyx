# cython: language_level=3, boundscheck=False, wraparound=False
"""Blocks of any GGUF type that the engine knows, as float32."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t

from ext.kernels cimport dequantise as c_dequantise, type_row_bytes


def row_bytes(int type, int64_t cols):
    """Return the bytes of a row of `cols` values, or 0: type unknown here, or blocks do not fit."""
    return type_row_bytes(type, cols)


def dequantise(int type, const uint8_t[::1] data, int rows, int cols):
    """Return a whole tensor as float32 [rows, cols], exactly as its format defines it."""
    cdef int64_t n = <int64_t>rows * cols
    cdef size_t row = type_row_bytes(type, cols)
    if row == 0 or <size_t>data.shape[0] < rows * row + (4 if type == 36 else 0):
        raise ValueError(f"type {type}, {rows} x {cols}: {data.shape[0]} bytes do not fit")
    out = np.empty((rows, cols), dtype=np.float32)
    cdef float[:, ::1] view = out
    cdef int failed
    with nogil:
        failed = c_dequantise(type, &data[0], n, &view[0, 0])
    if failed:
        raise ValueError(f"type {type} is unknown")
    return out
