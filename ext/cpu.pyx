# cython: language_level=3, boundscheck=False, wraparound=False
"""What the processor can do: instruction sets, and how fast memory is read."""

import os
import time

from libc.stdlib cimport free
from libc.string cimport memset
from libc.stdint cimport uint64_t

from ext.kernels cimport Kernels, Pool, PoolJob, kernels_available, kernels_select, pool_create
from ext.kernels cimport pool_destroy, pool_run, pool_threads

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)


def available():
    """Return the names of the kernel sets that run here, fastest first."""
    cdef const char *names[8]
    cdef int n = kernels_available(names)
    return [names[i].decode() for i in range(n)]


def isa():
    """Return the kernel set in use: the fastest, or what STERNA_ISA names."""
    wanted = os.environ.get("STERNA_ISA", "")
    found = available()
    if not wanted:
        return found[0]
    if wanted not in found:
        raise ValueError(f"STERNA_ISA={wanted}: this processor runs {', '.join(found)}")
    return wanted


cdef struct Reading:
    const Kernels *kernels
    char *data
    size_t bytes
    uint64_t sink


cdef void _read_part(void *context, Pool *pool, int index) noexcept nogil:
    cdef Reading *r = <Reading *>context
    cdef size_t part = r.bytes // <size_t>pool_threads(pool) // 4096 * 4096
    cdef uint64_t got = r.kernels.read(r.data + index * part, part)
    if got == 1:  # never true for the data read; keeps the loads
        r.sink = got


def read_bandwidth(double seconds=1.0, int threads=1, size_t megabytes=384):
    """Measure how fast `threads` threads together read memory that no cache holds.

    Returns bytes per second of each pass over the buffer, oldest first (at least three passes).
    """
    cdef Reading r
    cdef Pool *pool
    name = isa().encode()
    r.kernels = kernels_select(name)
    r.bytes = megabytes * 1000000 // 4096 * 4096
    r.sink = 0
    r.data = <char *>aligned_alloc(4096, r.bytes)
    if r.data == NULL:
        raise MemoryError
    memset(r.data, 85, r.bytes)
    pool = pool_create(threads)
    if pool == NULL:
        free(r.data)
        raise MemoryError
    passes = []
    end = time.perf_counter() + seconds
    try:
        while len(passes) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            with nogil:
                pool_run(pool, _read_part, &r)
            passes.append(r.bytes / (time.perf_counter() - start))
    finally:
        pool_destroy(pool)
        free(r.data)
    return passes
