from libc.stdint cimport uint8_t

from ext.kernels cimport Act, Kernels, Matrix, Pool

ctypedef void (*Multiply)(const Matrix *, int, int, const Act *, float *, int) noexcept nogil


cdef void *memory(size_t bytes) except NULL


cdef class Arena:
    cdef void **slabs
    cdef int count
    cdef size_t used, size
    cdef void *take(self, size_t bytes) except NULL
    cdef void drop(self, size_t bytes) noexcept


cdef class MatrixRef:
    cdef Arena arena
    cdef Matrix m
    cdef object owner
    cdef void *packed
    cdef size_t size
    cdef size_t middle_size, lower_size  # of a split matrix, whose upper bits are in `packed`
    cdef MatrixRef sketch  # of an output matrix of floats, or None
    cdef float *scales


cdef MatrixRef make_matrix(int type, const uint8_t[::1] data, int rows, int cols, bint pack, bint mapped,
                           bint split, Arena arena, const Kernels *kernels, Pool *pool)
