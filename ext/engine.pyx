# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Running a model that `ext.steps` describes: tokens in, logits and choices out."""

import numpy as np

from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.kernels cimport *
from ext.matrix cimport Multiply
from ext.steps cimport Buffer, KVCache, Steps


cdef const void *_array(list held, values, type, shape) except NULL:
    """Keep a checked array and return where it lies."""
    array = np.ascontiguousarray(values, dtype=type)
    if array.shape != shape or not array.size:
        raise ValueError(f"an array of shape {array.shape} where {shape} is needed")
    cdef const uint8_t[::1] view = array.reshape(-1).view(np.uint8)
    held.append(array)
    return &view[0]


cdef double *_sums(double[:, ::1] array):
    """Return where an array lies; whoever asks keeps it."""
    return &array[0, 0]


cdef class Engine(Steps):
    """A program of steps that can be run."""

    cdef Side *sides  # [step]
    cdef dict side_arrays  # by step, what its side points into
    cdef readonly size_t side_bytes  # that a token reads of adapters, one row of a table left out
    cdef int widest_side
    cdef dict sums  # by step, what is watched

    def __init__(self, int threads, int max_tokens):
        self.side_arrays = {}
        self.sums = {}

    def __dealloc__(self):
        free(self.sides)

    def set_side(self, int step, down, factors, list ups):
        """Put low-rank side paths beside the products of a `linear` step: out[i] += up[i] @ (factors * (down @ x)).

        `down`: float32 or float16 [ranks, width of x]. `ups`: for each output (first of its ranks, of the
        same type [rows / 16, its ranks, 16], rows filled up with zeros), or None. On an `embed` step
        `down` is [ids, ranks] and looked up. Not while the program runs.
        """
        if not 0 <= step < self.p.count:
            raise ValueError("there is no such step")
        cdef Step *s = &self.p.steps[step]
        cdef bint table = s.kind == STEP_EMBED
        cdef int ranks = len(factors), wanted = s.matrix[0].rows if table else s.matrix[0].cols
        if s.kind not in (STEP_EMBED, STEP_LINEAR) or len(ups) != (1 if table else s.outputs) or step in self.side_arrays:
            raise ValueError("this step takes no such side")
        if ranks == 0 or down.dtype not in (np.float16, np.float32):
            raise ValueError(f"a side of {ranks} ranks of type {down.dtype}")
        if self.sides == NULL:
            self.sides = <Side *>calloc(self.p.count, sizeof(Side))
            if self.sides == NULL:
                raise MemoryError
        if ranks > self.widest_side:
            self.p.mid = <float *>self._room(<size_t>self.p.max_tokens * ranks * 4)
            self.widest_side = ranks
        cdef Side *side = &self.sides[step]
        cdef list held = []
        memset(side, 0, sizeof(Side))
        side.ranks, side.half = ranks, down.dtype == np.float16
        side.down.type = TYPE_F16 if side.half else TYPE_F32
        side.down.rows, side.down.cols = (wanted, ranks) if table else (ranks, wanted)
        side.down.row_bytes = side.down.cols * down.itemsize
        side.down.data = <const uint8_t *>_array(held, down, down.dtype, (side.down.rows, side.down.cols))
        side.down.multiply = <Multiply>kernels_matmul(self.p.kernels, side.down.type, &side.down.form)
        side.factor = <const float *>_array(held, factors, np.float32, (ranks,))
        for i, up in enumerate(ups):
            if up is None:
                continue
            first, values = up
            rows = s.width if table else s.matrix[i].rows
            shape = ((rows + ROW_GROUP - 1) // ROW_GROUP, values.shape[1], ROW_GROUP)
            if first < 0 or values.shape[1] < 1 or first + values.shape[1] > ranks:
                raise ValueError("a side with ranks that it does not have")
            side.out[i].first, side.out[i].ranks = first, values.shape[1]
            side.out[i].up = _array(held, values, down.dtype, shape)
        self.side_arrays[step] = held
        self.side_bytes += sum(a.nbytes for a in held[1 if table else 0:])
        s.side = side

    def clear_sides(self):
        """Run without side paths again. Not while the program runs."""
        for step in self.side_arrays:
            self.p.steps[<int>step].side = NULL
        self.side_arrays = {}
        self.side_bytes = 0

    def cancel(self):
        """Stop the run in progress within one layer; may be called from any thread."""
        self.cancelled = 1

    def resume(self):
        """Forget a cancel."""
        self.cancelled = 0

    def run(self, const int32_t[::1] ids, int first, int logits_from):
        """Run ids at positions first…; False when cancelled (then the cache holds no such ids)."""
        cdef int tokens = <int>ids.shape[0], cancelled
        if tokens < 1 or tokens > self.p.max_tokens or first < 0 or first + tokens > self.capacity:
            raise ValueError("tokens beyond the context")
        with nogil:
            cancelled = program_run(&self.p, &ids[0], tokens, first, logits_from)
        return not cancelled

    @property
    def keep(self):
        """How many of the greatest logits of a single token must be exact; 0: all.

        The others are then estimates from the upper bits of a split output matrix. A logit among the
        greatest is taken for a lesser one about once in 10^8 (see kernels/screens.inc).
        """
        return self.p.keep

    @keep.setter
    def keep(self, int count):
        self.p.keep = count if 0 <= count <= KEEP_MAX else 0

    @property
    def far(self):
        """Whether the angles for long contexts are in use; what the cache holds was turned by one or the other."""
        return bool(self.p.far)

    @far.setter
    def far(self, bint far):
        self.p.far = far

    @property
    def shares_read(self):
        """Shares of the rows of the output matrix, over all tokens that were chosen so far, of which the upper bits were
        read, the middle ones, and all. With nothing chosen, all of all.
        """
        if not self.p.chosen:
            return 1.0, 1.0, 1.0
        return self.p.looked / self.p.chosen, self.p.closer / self.p.chosen, self.p.exact / self.p.chosen

    def fill_caches(self, int positions):
        """Put noise of unit size into the first positions of all caches: for measuring far into a context."""
        cdef KVCache cache
        cdef float[::1] noise
        cdef int at, row
        for cache in [c for c in self.held if isinstance(c, KVCache)]:
            row = cache.c.heads * cache.c.width
            noise = np.random.default_rng(row).standard_normal(row + 64).astype(np.float32)
            with nogil:
                for at in range(min(positions, cache.c.capacity)):
                    cache_keep(self.p.kernels, &cache.c, &noise[at % 64], at)

    def watch(self):
        """From now on add up the squares of what goes into all products, over the tokens that are run.

        Products with a side path are left out.
        """
        cdef int i
        cdef Step *s
        cdef Experts *e
        for i in range(self.p.count):
            s = &self.p.steps[i]
            if s.kind == STEP_LINEAR:
                self.sums[i] = (np.zeros((1, s.matrix[0].cols)),)
                s.squares = _sums(self.sums[i][0])
            elif s.kind == STEP_EXPERTS:
                e = <Experts *>s.experts
                self.sums[i] = (np.zeros((e.count, s.width)), np.zeros((e.count, e.width)), np.zeros((1, e.count), np.int64))
                e.squares, e.inner_squares = _sums(self.sums[i][0]), _sums(self.sums[i][1])
                e.seen = <int64_t *>_sums(self.sums[i][2].view(np.float64))

    def watched(self, int step):
        """Return the sums since `watch`, float64: () for a step that has none.

        `linear`: squares of the input [1, columns]. `experts`: those of the input of gate and up
        [experts, columns], of down [experts, columns], and the tokens of each expert [1, experts].
        """
        return tuple(array.astype(np.float64) for array in self.sums.get(step, ()))

    def seconds(self):
        """Return the time spent so far by kind of step."""
        kinds = ("embed", "norm", "linear", "rope", "attend", "glu", "cap", "experts")
        return {kind: self.p.seconds[i] for i, kind in enumerate(kinds)}

    def write(self, Buffer b, const float[:, ::1] values):
        """Set the first rows of a buffer."""
        cdef int t, i
        if values.shape[1] != b.width or values.shape[0] > self.p.max_tokens:
            raise ValueError("write: shapes do not agree")
        for t in range(<int>values.shape[0]):
            for i in range(b.width):
                b.data[<size_t>t * b.width + i] = values[t, i]

    def read(self, Buffer b, int tokens):
        """Return a copy of the first `tokens` rows: float32 [tokens, width]."""
        out = np.empty((tokens, b.width), dtype=np.float32)
        cdef float[:, ::1] view = out
        cdef int t, i
        for t in range(tokens):
            for i in range(b.width):
                view[t, i] = b.data[<size_t>t * b.width + i]
        return out

    def sample(self, Buffer logits, float temperature, int top_k, float top_p, float min_p,
               float repeat_penalty, const int32_t[::1] recent, uint64_t[::1] state):
        """Choose from the first row of `logits`; returns (id, log probability)."""
        cdef Sampling s
        cdef float logprob = 0
        cdef int32_t chosen
        cdef int n = <int>recent.shape[0]
        cdef const int32_t *ids = &recent[0] if n else NULL
        s.temperature, s.top_k, s.top_p, s.min_p, s.repeat_penalty = temperature, top_k, top_p, min_p, repeat_penalty
        with nogil:
            chosen = sample(self.p.kernels, logits.data, self.vocab, &s, ids, n, self.candidates, &state[0], &logprob)
        return chosen, logprob
