from ext.kernels cimport Act, Cache, Candidate, Program, Step
from ext.matrix cimport Arena


cdef class Buffer:
    cdef float *data
    cdef readonly int width


cdef class KVCache:
    cdef Cache c


cdef class Steps:
    cdef Program p
    cdef list held
    cdef Arena arena
    cdef int capacity, steps_room, widest
    cdef int cancelled
    cdef Candidate *candidates
    cdef int vocab
    cdef readonly str isa
    cdef readonly size_t buffer_bytes
    cdef readonly size_t cache_bytes
    cdef int q_heads, value_width
    cdef tuple routing  # greatest numbers of experts, used ones, widths; whether any is of a float type

    cdef void *_room(self, size_t bytes) except NULL
    cdef _inputs(self, Act *a, size_t slots, size_t stride, bint floats)
    cdef _finish_experts(self, int threads)
    cdef Step *_step(self, int kind) except NULL
    cdef const float *_vector(self, object values, int width) except? NULL
