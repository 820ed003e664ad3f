# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Weight matrices as the kernels take them: as they lie in a file, or packed into a faster layout."""

from libc.stdint cimport uint8_t, uintptr_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from ext.kernels cimport *

from ext import cpu

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **place, size_t alignment, size_t size)

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *address, size_t length, int advice)
    int MADV_DONTNEED
    int MADV_HUGEPAGE

cdef size_t SKETCHED_ROWS = 4096  # with fewer there is little to gain
cdef size_t SLAB = 64 << 20  # bytes; what is never used of it is never touched
FLOAT_TYPES = frozenset((TYPE_F32, TYPE_F16, TYPE_BF16))
TERNARY_TYPES = frozenset((TYPE_I2_S, TYPE_TQ1_0, TYPE_TQ2_0))


cdef void *memory(size_t bytes) except NULL:
    """On a cache line; what fills huge pages lies on them, where the system has them.

    What is large is not cleared, so that pages which are never used cost nothing.
    """
    cdef size_t huge = 2 << 20, page = huge if bytes >= huge else 64
    cdef size_t size = (bytes + 64 + 4095) // 4096 * 4096
    cdef void *p = NULL
    if posix_memalign(&p, page, size):
        raise MemoryError
    if page == huge:
        madvise(p, size // huge * huge, MADV_HUGEPAGE)
    else:
        memset(p, 0, size)
    return p


cdef class Arena:
    """Memory for the matrices of a model, side by side on huge pages. It is given back as a whole."""

    def __cinit__(self):
        self.slabs, self.count, self.used, self.size = NULL, 0, 0, 0

    def __dealloc__(self):
        for i in range(self.count):
            free(self.slabs[i])
        free(self.slabs)

    cdef void *take(self, size_t bytes) except NULL:
        cdef void **grown
        bytes = (bytes + 63) // 64 * 64
        if self.used + bytes > self.size:
            grown = <void **>realloc(self.slabs, (self.count + 1) * sizeof(void *))
            if grown == NULL:
                raise MemoryError
            self.slabs = grown
            self.size, self.used = max(bytes, SLAB), 0
            self.slabs[self.count] = memory(self.size)
            self.count += 1
        cdef void *place = <uint8_t *>self.slabs[self.count - 1] + self.used
        self.used += bytes
        return place

    cdef void drop(self, size_t bytes) noexcept:
        """Forget what was taken last."""
        self.used -= (bytes + 63) // 64 * 64


cdef _give_back(const uint8_t *data, size_t size):
    """Drop the pages of a file that are no longer needed from memory (not from the file)."""
    cdef uintptr_t start = (<uintptr_t>data + 4095) // 4096 * 4096
    cdef uintptr_t end = (<uintptr_t>data + size) // 4096 * 4096
    if end > start:
        madvise(<void *>start, end - start, MADV_DONTNEED)


cdef struct Packing:
    int packing, type, rows, cols
    const Format *format  # of a block format, else NULL
    const uint8_t *data
    size_t row_bytes
    uint8_t *packed
    uint8_t *parts[SPLIT_PARTS]  # of a split matrix
    bint sketch  # only the upper bits, of floats
    float *scale
    int found  # PACK_… of any group


cdef size_t _group_bytes(const Packing *p) noexcept nogil:
    if p.packing >= TYPE_SPLIT:
        return split_bytes(p.format, p.cols, SPLIT_UPPER)
    if p.format != NULL:
        return blocks_group_bytes(p.format, p.cols)
    return ternary_group_bytes(p.packing, p.cols)


cdef void _pack(void *context, Pool *pool, int index) noexcept nogil:
    cdef Packing *p = <Packing *>context
    cdef int begin = 0, end = 0, g, rows, found, part
    cdef uint8_t *parts[SPLIT_PARTS]
    cdef size_t size = _group_bytes(p)
    cdef const uint8_t *data
    pool_open(pool, index, (p.rows + ROW_GROUP - 1) // ROW_GROUP, 4)
    while pool_take(pool, index, &begin, &end):
        for g in range(begin, end):
            rows = min(p.rows - g * ROW_GROUP, ROW_GROUP)
            data = p.data + <size_t>g * ROW_GROUP * p.row_bytes
            if p.sketch:
                if not sketch_pack_group(p.type, data, p.row_bytes, rows, p.cols, p.packed + g * size):
                    p.found |= PACK_UNEVEN
                continue
            if p.packing >= TYPE_SPLIT:
                for part in range(SPLIT_PARTS):
                    parts[part] = p.parts[part] + g * split_bytes(p.format, p.cols, part)
                split_pack_group(p.format, data, p.row_bytes, rows, p.cols, parts)
                continue
            if p.format != NULL:
                blocks_pack_group(p.format, data, p.row_bytes, rows, p.cols, p.packed + g * size)
                continue
            found = ternary_pack_group(p.packing, p.type, data, p.row_bytes, rows, p.cols,
                                       p.packed + g * size, p.scale + g * ROW_GROUP)
            if found:  # several threads may write, all the same bits in the end
                p.found |= found
    pool_close(pool, index)


cdef class MatrixRef:
    """A weight matrix: `rows` outputs by `cols` inputs."""

    @property
    def rows(self):
        return self.m.rows

    @property
    def cols(self):
        return self.m.cols

    @property
    def bytes(self):
        """Bytes that one pass over the matrix reads."""
        return self.size + self.middle_size + self.lower_size

    def bytes_read(self, double looked, double closer, double exact):
        """Bytes that choosing among its products reads, given the shares of rows of `Engine.shares_read`."""
        if self.m.type >= TYPE_SPLIT:
            return self.size * looked + self.middle_size * closer + self.lower_size * exact
        return (self.sketch.size * looked if self.sketch is not None else 0) + self.size * exact

    @property
    def is_packed(self):
        """Whether the matrix is ternary in our own layout."""
        return self.scales != NULL

    def rescale(self, float factor):
        """Multiply a packed matrix by a number, exactly in its row scales."""
        cdef int i
        if self.scales == NULL:
            raise ValueError("only a packed ternary matrix has row scales")
        for i in range((self.m.rows + ROW_GROUP - 1) // ROW_GROUP * ROW_GROUP):
            self.scales[i] *= factor


def held_bytes(int type, size_t rows, int cols):
    """Return the bytes that a matrix takes in the layout it is computed in on this machine."""
    cdef const Kernels *kernels
    cdef const Format *format = format_of(type)
    cdef size_t groups = (rows + ROW_GROUP - 1) // ROW_GROUP
    if type in TERNARY_TYPES:
        name = cpu.isa().encode()
        kernels = kernels_select(name)
        return groups * (ternary_group_bytes(TYPE_TERNARY if kernels.trits == NULL else TYPE_TRITS, cols) + ROW_GROUP * 4)
    if format != NULL:
        return groups * blocks_group_bytes(format, cols)
    return rows * type_row_bytes(type, cols)


def sketch_bytes(int type, size_t rows, int cols):
    """Return the bytes beside an output matrix of floats by which its greatest products are found."""
    if type not in FLOAT_TYPES or cols % 256 or cols > SPLIT_COLUMNS or rows < SKETCHED_ROWS:
        return 0
    return (rows + ROW_GROUP - 1) // ROW_GROUP * split_bytes(sketch_format(), cols, SPLIT_UPPER)


cdef bint _run_packing(MatrixRef ref, Arena arena, Packing *job, Pool *pool) except -1:
    """Pack; return whether the packing holds the matrix exactly."""
    cdef int groups = (job.rows + ROW_GROUP - 1) // ROW_GROUP
    ref.size = groups * _group_bytes(job)
    ref.packed = arena.take(ref.size)
    job.packed, job.found = <uint8_t *>ref.packed, 0
    if job.packing >= TYPE_SPLIT and not job.sketch:
        ref.middle_size = groups * split_bytes(job.format, job.cols, SPLIT_MIDDLE)
        ref.lower_size = groups * split_bytes(job.format, job.cols, SPLIT_LOWER)
        job.parts[SPLIT_UPPER] = job.packed
        job.parts[SPLIT_MIDDLE] = <uint8_t *>arena.take(ref.middle_size)
        job.parts[SPLIT_LOWER] = <uint8_t *>arena.take(ref.lower_size)
    with nogil:
        pool_run(pool, _pack, job)
    if job.found & PACK_UNEVEN or (job.packing == TYPE_TRITS and job.found & PACK_NO_TRITS):
        arena.drop(ref.size)
        ref.packed = NULL
        return False
    return True


cdef _pack_matrix(MatrixRef ref, Arena arena, const Kernels *kernels, Pool *pool, bint mapped, bint split):
    cdef int rows = (ref.m.rows + ROW_GROUP - 1) // ROW_GROUP * ROW_GROUP
    cdef Packing job
    job.type, job.rows, job.cols, job.format = ref.m.type, ref.m.rows, ref.m.cols, NULL
    job.data, job.row_bytes, job.scale, job.sketch = ref.m.data, ref.m.row_bytes, NULL, False
    cdef bint done = False
    if ref.m.type in TERNARY_TYPES:
        ref.scales = <float *>arena.take(rows * 4)
        job.scale = ref.scales
        for packing in [TYPE_TRITS, TYPE_TERNARY]:
            if packing == TYPE_TRITS and kernels.trits == NULL:
                continue
            job.packing = packing
            done = _run_packing(ref, arena, &job, pool)
            if done:
                break
        if not done:  # its blocks differ in scale: no BitNet weights, it runs as any block format
            ref.scales = NULL
    if not done:
        job.format, job.packing = format_of(ref.m.type), TYPE_PACKED + ref.m.type
        if split and split_exists(ref.m.type, ref.m.cols):
            job.packing = TYPE_SPLIT + ref.m.type
        if job.format == NULL:
            raise ValueError(f"type {ref.m.type} cannot be packed")
        _run_packing(ref, arena, &job, pool)
    if ref.m.type == TYPE_I2_S:
        scale = (<const float *>(ref.m.data + ref.m.rows * ref.m.row_bytes))[0]
        for i in range(rows):
            ref.scales[i] = scale
    if mapped:
        _give_back(ref.m.data, ref.m.rows * ref.m.row_bytes)
    ref.m.type = job.packing
    ref.m.row_bytes = ref.size // rows
    ref.m.data = <const uint8_t *>ref.packed
    if ref.m.type >= TYPE_SPLIT:
        ref.m.middle, ref.m.lower = job.parts[SPLIT_MIDDLE], job.parts[SPLIT_LOWER]
    ref.m.scale = ref.scales


cdef MatrixRef _sketch_of(MatrixRef ref, Arena arena, Pool *pool):
    """Return the upper bits that an output matrix of floats would have in Q6_K; None if that cannot hold it."""
    cdef MatrixRef sketch = MatrixRef.__new__(MatrixRef)
    cdef Packing job
    job.type, job.rows, job.cols, job.format = ref.m.type, ref.m.rows, ref.m.cols, sketch_format()
    job.data, job.row_bytes, job.scale, job.sketch = ref.m.data, ref.m.row_bytes, NULL, True
    job.packing = TYPE_SPLIT + job.format.type
    sketch.arena = arena
    if not _run_packing(sketch, arena, &job, pool):
        return None
    sketch.m.type, sketch.m.rows, sketch.m.cols = job.packing, ref.m.rows, ref.m.cols
    sketch.m.data = <const uint8_t *>sketch.packed
    return sketch


cdef MatrixRef make_matrix(int type, const uint8_t[::1] data, int rows, int cols, bint pack, bint mapped,
                           bint split, Arena arena, const Kernels *kernels, Pool *pool):
    """Take a tensor; see `Engine.matrix`."""
    cdef size_t row = type_row_bytes(type, cols)
    cdef size_t need = rows * row + (4 if type == TYPE_I2_S else 0)
    if row == 0 or rows <= 0 or <size_t>data.shape[0] < need:
        raise ValueError(f"type {type}, {rows} x {cols}: {data.shape[0]} bytes do not fit")
    cdef MatrixRef ref = MatrixRef.__new__(MatrixRef)
    ref.arena = arena
    ref.m.type, ref.m.rows, ref.m.cols, ref.m.row_bytes = type, rows, cols, row
    ref.m.data = &data[0]
    ref.size = rows * row
    if pack and (type in TERNARY_TYPES or format_of(type) != NULL):
        _pack_matrix(ref, arena, kernels, pool, mapped, split)
    if not ref.packed:
        ref.owner = data
    ref.m.multiply = <Multiply>kernels_matmul(kernels, ref.m.type, &ref.m.form)
    if split and sketch_bytes(type, rows, cols):
        ref.sketch = _sketch_of(ref, arena, pool)
        if ref.sketch is not None:
            ref.m.sketch = &ref.sketch.m
            ref.m.form |= ACT_BLOCK
    return ref
