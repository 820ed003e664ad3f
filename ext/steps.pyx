# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A transformer as a list of steps that all threads run together, without the GIL.

Describe the model once (`matrix`, `buffer`, `cache`, then the steps in order), and call `finish`;
`ext.engine` runs it. Arrays given stay referenced; nothing is copied except weights that are packed.
"""

import numpy as np

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t
from libc.stdlib cimport calloc, free

from ext.kernels cimport *
from ext.matrix cimport Arena, MatrixRef, make_matrix, memory

from ext import cpu


GATES = {"silu": GATE_SILU, "relu2": GATE_RELU2, "gelu": GATE_GELU}


def buffer_bytes(size_t width, int max_tokens):
    """Return the bytes of a buffer of `width` values a token."""
    return <size_t>(max_tokens + TILE_TOKENS) * width * 4


def shared_bytes(int threads, int max_tokens, int widest, int q_heads, int value_width, int vocab):
    """Return the bytes of what the steps share, as `Steps.finish` takes them."""
    cdef size_t tokens = max_tokens + TILE_TOKENS
    cdef size_t partial = <size_t>q_heads * MAX_PARTS * (value_width + 2)
    return (_input_bytes(tokens, _stride(widest), True) + partial * 4
            + threads * (_panel_bytes(tokens) + _scratch_floats(attend_scratch(value_width)) * 4)
            + <size_t>vocab * 8 + _groups(vocab) * (8 + sizeof(int)))


def expert_bytes(int threads, int max_tokens, int count, int used, int width, int stream, bint floats):
    """Return the bytes that a mixture of experts works in; `floats`: its weights are of a float type."""
    cdef size_t pairs = <size_t>max_tokens * used, slots = expert_slots(max_tokens, count, used)
    cdef size_t stride = _stride(max(width, stream)), values = slots * stride
    return (pairs * (2 * sizeof(int) + 4) + slots * (sizeof(int) + 4 + sizeof(Unit))
            + count * (sizeof(int) + sizeof(Group)) + _input_bytes(slots, stride, floats)
            + slots * max(2 * width, stream) * 4 + threads * stride * 4)


cdef size_t _input_bytes(size_t slots, size_t stride, bint floats):
    cdef size_t values = slots * stride
    return values * (6 if floats else 2) + values // BLOCK * 4 + values // SPAN * 4 + slots * 8


cdef size_t _stride(size_t width):
    return (width + TRIT_COLUMNS + 63) // 64 * 64


cdef size_t _panel_bytes(size_t tokens):
    return PANEL_BYTES + tokens * PANEL_ROWS * 4


cdef size_t _scratch_floats(size_t need):
    return (need + 63) // 64 * 64


cdef size_t _groups(size_t vocab):
    return (vocab + ROW_GROUP - 1) // ROW_GROUP


cdef class Buffer:
    """Float32 values of each token of a block: [max_tokens][width]."""

    def __dealloc__(self):
        free(self.data)


cdef class KVCache:
    """Keys or values of one layer, for `capacity` positions."""

    def __dealloc__(self):
        free(self.c.data)
        free(self.c.scale)


cdef class Room:
    """Memory of no other owner."""

    cdef void *place

    def __dealloc__(self):
        free(self.place)


cdef class Steps:
    """The program of one model with its threads and buffers."""

    def __cinit__(self, int threads, int max_tokens):
        name = cpu.isa()
        self.isa = name
        encoded = name.encode()
        self.p.kernels = kernels_select(encoded)
        self.p.max_tokens = max_tokens
        self.p.cancel = &self.cancelled
        self.held, self.routing = [], None
        self.capacity = 2147483647  # attention over caches lowers it
        self.arena = Arena()
        self.p.pool = pool_create(threads)
        if self.p.pool == NULL:
            raise MemoryError("cannot start the threads")

    def __dealloc__(self):
        pool_destroy(self.p.pool)
        free(self.p.steps)

    cdef void *_room(self, size_t bytes) except NULL:
        """Memory that lives as long as the program."""
        cdef Room room = Room.__new__(Room)
        room.place = memory(bytes)
        self.held.append(room)
        return room.place

    cdef _inputs(self, Act *a, size_t slots, size_t stride, bint floats):
        """Room for the inputs of products, in every form."""
        cdef size_t values = slots * stride
        if floats:
            a.f = <float *>self._room(values * 4)
        a.row_q = <int8_t *>self._room(values)
        a.row_scale = <float *>self._room(slots * 4)
        a.row_sum = <int32_t *>self._room(slots * 4)
        a.block_q = <int8_t *>self._room(values)
        a.block_scale = <float *>self._room(values // BLOCK * 4)
        a.block_sum = <int32_t *>self._room(values // SPAN * 4)

    @property
    def threads(self):
        return pool_threads(self.p.pool)

    @property
    def max_tokens(self):
        return self.p.max_tokens

    # --- parts ---------------------------------------------------------------------------------

    def matrix(self, int type, const uint8_t[::1] data, int rows, int cols, bint pack=True, bint mapped=False,
               bint split=False):
        """Take a tensor of `rows` rows of `cols` values as it lies in a file.

        With `pack`, all but float types go into a faster layout, which alone can be multiplied; if `data` is `mapped` from a file, its
        pages are then given back (on any other memory that would lose it). An output matrix may be `split`,
        so that the greatest logits of a token are found without reading all of it: see `keep`.
        """
        ref = make_matrix(type, data, rows, cols, pack, mapped, split, self.arena, self.p.kernels, self.p.pool)
        self.held.append(ref)
        return ref

    def buffer(self, int width):
        """Make a buffer of `width` values a token."""
        cdef Buffer b = Buffer.__new__(Buffer)
        cdef size_t bytes = buffer_bytes(width, self.p.max_tokens)
        b.data = <float *>memory(bytes)
        b.width = width
        self.buffer_bytes += bytes
        self.held.append(b)
        return b

    def cache(self, int heads, int capacity, int width, str type, bint keys):
        """Make a cache for the keys or the values of one layer: `type` is "f32", "f16" or "q8_0".

        Position p lies at p modulo `capacity`: see `attend`, window.
        """
        cdef KVCache cache = KVCache.__new__(KVCache)
        cdef Cache *c = &cache.c
        c.type = {"f32": KEEP_F32, "f16": KEEP_F16, "q8_0": KEEP_Q8}[type]
        c.keys, c.heads, c.capacity, c.width = keys, heads, capacity, width
        c.data = memory(cache_data_bytes(c))
        c.scale = <uint16_t *>memory(cache_scale_bytes(c) or 1)
        self.cache_bytes += cache_data_bytes(c) + cache_scale_bytes(c)
        self.held.append(cache)
        return cache

    # --- steps ---------------------------------------------------------------------------------

    cdef Step *_step(self, int kind) except NULL:
        cdef Step *grown
        cdef int i
        if self.p.count == self.steps_room:
            self.steps_room = max(64, 2 * self.steps_room)
            grown = <Step *>calloc(self.steps_room, sizeof(Step))
            if grown == NULL:
                raise MemoryError
            for i in range(self.p.count):
                grown[i] = self.p.steps[i]
            free(self.p.steps)
            self.p.steps = grown
        self.p.count += 1
        cdef Step *s = &self.p.steps[self.p.count - 1]
        s.kind = kind
        s.scale = 1
        return s

    cdef const float *_vector(self, object values, int width) except? NULL:
        if values is None:
            return NULL
        cdef const float[::1] view = np.ascontiguousarray(values, dtype=np.float32)
        if view.shape[0] != width:
            raise ValueError(f"{view.shape[0]} values where {width} are needed")
        self.held.append(view)
        return &view[0]

    def embed(self, MatrixRef table, Buffer out, float scale=1, int file=-1, int64_t offset=0):
        """out = scale * row of `table` for each id. Return the number of the step.

        With a descriptor the rows are read from a `file`, where the table begins at byte `offset`.
        """
        cdef Step *s = self._step(STEP_EMBED)
        if table.packed != NULL or table.m.type == TYPE_I2_S or table.m.cols != out.width:
            raise ValueError("this table cannot be looked up")
        s.matrix[0], s.out[0], s.width, s.scale = &table.m, out.data, out.width, scale
        s.file, s.offset = file, offset
        return self.p.count - 1

    def norm(self, Buffer x, weight, float eps, list users, bint last_only=False, float scale=1,
             Buffer branch=None, branch_weight=None, Buffer gate=None):
        """Prepare the input of `users` (matrices): RMS norm with `weight` (None: as it is) times `scale`, quantised.

        Before that x += RMS norm of `branch` with `branch_weight`; after it, times the sigmoid of `gate`,
        one value a token.
        """
        cdef Step *s = self._step(STEP_NORM)
        cdef MatrixRef user
        s.in_, s.width, s.eps, s.last_only, s.scale = x.data, x.width, eps, last_only, scale
        if branch is not None:
            if branch.width != x.width:
                raise ValueError(f"a branch of {branch.width} values onto {x.width}")
            s.branch, s.branch_weight = branch.data, self._vector(branch_weight, x.width)
        if gate is not None:
            if gate.width != 1:
                raise ValueError("a gate has one value a token")
            s.gate = gate.data
        s.weight = self._vector(weight, x.width)
        for user in users:
            s.forms |= user.m.form
            if user.m.cols != x.width:
                raise ValueError(f"a matrix with {user.m.cols} columns on {x.width} values")
        self.widest = max(self.widest, x.width)

    def linear(self, list matrices, list outs, list biases=None, bint add=False, bint last_only=False):
        """outs[i] (+)= matrices[i] @ prepared input + biases[i]. Return the number of the step."""
        cdef Step *s = self._step(STEP_LINEAR)
        cdef MatrixRef m
        cdef Buffer out
        if len(matrices) > MAX_OUTPUTS:
            raise ValueError("too many matrices at once")
        s.outputs, s.add, s.last_only = len(matrices), add, last_only
        for i, (m, out) in enumerate(zip(matrices, outs, strict=True)):
            if m.m.rows != out.width:
                raise ValueError(f"a matrix with {m.m.rows} rows into {out.width} values")
            if m.m.multiply == NULL:
                raise ValueError(f"a table of type {m.m.type} cannot be multiplied: it was not packed")
            s.matrix[i], s.out[i], s.out_width[i] = &m.m, out.data, out.width
            s.bias[i] = self._vector(biases[i], m.m.rows) if biases else NULL
        return self.p.count - 1

    def rope(self, Buffer q, Buffer k, Buffer v, KVCache keys, KVCache values, inverse, bint neox, float scale=1,
             far=None, q_norm=None, k_norm=None, float eps=0):
        """Turn q and k by their positions and put k and v into the cache.

        `inverse`: angles per position, half the rotated width, or `far` while `Engine.far` is set; `neox`:
        pairs (i, i + half), else (2i, 2i + 1); sine and cosine times `scale`. With `q_norm` and `k_norm`
        each head goes through an RMS norm before.
        """
        cdef Step *s = self._step(STEP_ROPE)
        s.out[0], s.out[1], s.out[2] = q.data, k.data, v.data
        s.k, s.v, s.neox, s.rope_scale = &keys.c, &values.c, neox, scale
        s.rope_width = 2 * len(inverse)
        s.inverse[0] = self._vector(inverse, len(inverse)) if len(inverse) else NULL
        s.inverse[1] = self._vector(far, len(inverse)) if far is not None else s.inverse[0]
        s.q_norm, s.k_norm, s.eps = self._vector(q_norm, keys.c.width), self._vector(k_norm, keys.c.width), eps
        if (s.rope_width > keys.c.width or q.width % keys.c.width or k.width != keys.c.heads * keys.c.width
                or v.width != values.c.heads * values.c.width):
            raise ValueError("rope: widths do not agree")
        s.q_heads = q.width // keys.c.width

    def attend(self, Buffer q, Buffer out, KVCache keys, KVCache values, float scale, float cap=0, int window=0):
        """out = softmax(scale * q . keys) @ values, causal, grouped-query.

        `cap`: scores s become cap * tanh(s / cap). `window`: only so many positions are seen, the token's
        own included; the caches may then be rings that hold no more than that and a block of tokens.
        """
        cdef Step *s = self._step(STEP_ATTEND)
        cdef int capacity = keys.c.capacity
        if keys.c.capacity != values.c.capacity:
            raise ValueError("attend: keys and values differ in capacity")
        if not window or capacity % ATTEND_TILE or capacity < window - 1 + self.p.max_tokens:
            self.capacity = min(self.capacity, capacity)  # positions are never wrapped around
        s.cap, s.window = cap, window
        s.in_, s.out[0], s.k, s.v, s.scale = q.data, out.data, &keys.c, &values.c, scale
        s.q_heads = q.width // keys.c.width
        if (s.q_heads % keys.c.heads or s.q_heads // keys.c.heads > QUERY_ROWS
                or out.width != s.q_heads * values.c.width):
            raise ValueError("attend: widths do not agree")
        self.q_heads, self.value_width = max(self.q_heads, s.q_heads), max(self.value_width, values.c.width)

    def glu(self, Buffer gate, Buffer up, str kind):
        """gate = act(gate) * up, act = "silu", "relu2" or "gelu"."""
        cdef Step *s = self._step(STEP_GLU)
        if gate.width != up.width:
            raise ValueError("glu: widths do not agree")
        s.in_, s.out[0], s.out[1], s.width, s.kind_of_gate = gate.data, gate.data, up.data, gate.width, GATES[kind]

    def cap(self, Buffer logits, float cap):
        """logits = cap * tanh(logits / cap), where they are wanted."""
        cdef Step *s = self._step(STEP_CAP)
        s.out[0], s.width, s.scale, s.last_only = logits.data, logits.width, cap, True

    def experts(self, Buffer logits, Buffer x, list gate, list up, list down, int used, bint normalise, float scale,
                str kind):
        """x += for each token the sum of `used` experts' down(act(gate n) * (up n)), n the input that was prepared.

        Matrices by expert. Return the number of the step. The experts with the greatest logits are chosen, their weights are the softmax of
        all logits, made to sum to one if `normalise`, times `scale`; act as in `glu`.
        """
        cdef Step *s = self._step(STEP_EXPERTS)
        cdef int count = len(gate), width = (<MatrixRef>gate[0]).m.rows
        cdef Experts *e = <Experts *>self._room(sizeof(Experts))
        cdef MatrixRef m
        cdef const Matrix **places
        if not (count == len(up) == len(down) == logits.width) or not 0 < used <= count:
            raise ValueError("experts: numbers do not agree")
        for i, (refs, rows, cols) in enumerate(((gate, width, x.width), (up, width, x.width), (down, x.width, width))):
            places = <const Matrix **>self._room(count * sizeof(Matrix *))
            for j, m in enumerate(refs):
                if m.m.rows != rows or m.m.cols != cols or m.m.multiply == NULL or m.m.form != (<MatrixRef>refs[0]).m.form:
                    raise ValueError("experts: matrices do not agree")
                places[j] = &m.m
            if i == 0:
                e.gate = places
            elif i == 1:
                e.up = places
            else:
                e.down = places
        e.count, e.used, e.width, e.normalise, e.scale = count, used, width, normalise, scale
        e.kind_of_gate, e.logits, e.counts = GATES[kind], logits.data, <Counts *>self._room(sizeof(Counts))
        s.experts, s.out[0], s.width = e, x.data, x.width
        floats = bool((e.gate[0].form | e.up[0].form | e.down[0].form) & ACT_FLOAT)
        before = self.routing or (0, 0, 0, 0, False)
        self.routing = tuple(map(max, before, (count, used, width, x.width, floats)))
        return self.p.count - 1

    def finish(self, int vocab):
        """Allocate what the steps share. Afterwards the program can run."""
        cdef size_t tokens = self.p.max_tokens + TILE_TOKENS
        cdef int threads = pool_threads(self.p.pool)
        self._inputs(&self.p.act, tokens, _stride(self.widest), True)
        self.p.panel_bytes = _panel_bytes(tokens)
        self.p.act.panel = <uint8_t *>self._room(self.p.panel_bytes * threads)
        self.p.scratch_floats = _scratch_floats(attend_scratch(self.value_width))
        self.p.scratch = <float *>self._room(self.p.scratch_floats * threads * 4)
        self.p.partial = <float *>self._room(<size_t>self.q_heads * MAX_PARTS * (self.value_width + 2) * 4)
        self.vocab = vocab
        self.p.best = <float *>self._room(_groups(vocab) * 4)
        self.p.most = <float *>self._room(_groups(vocab) * 4)
        self.p.list = <int *>self._room(_groups(vocab) * sizeof(int))
        self.candidates = <Candidate *>self._room(<size_t>vocab * 8)
        self.buffer_bytes += shared_bytes(threads, self.p.max_tokens, self.widest, self.q_heads, self.value_width, vocab)
        if self.routing is not None:
            self._finish_experts(threads)
        if pool_reserve(self.p.pool, program_phases(&self.p)):
            raise MemoryError

    cdef _finish_experts(self, int threads):
        cdef int count, used, width, stream
        cdef bint floats
        count, used, width, stream, floats = self.routing
        cdef Routed *r = &self.p.routed
        cdef size_t pairs = <size_t>self.p.max_tokens * used
        cdef size_t slots = expert_slots(self.p.max_tokens, count, used), stride = _stride(max(width, stream))
        r.chosen = <int *>self._room(pairs * sizeof(int))
        r.weight = <float *>self._room(pairs * 4)
        r.slot = <int *>self._room(pairs * sizeof(int))
        r.token = <int *>self._room(slots * sizeof(int))
        r.share = <float *>self._room(slots * 4)
        r.of = <int *>self._room(count * sizeof(int))
        r.group = <Group *>self._room(count * sizeof(Group))
        r.unit = <Unit *>self._room(slots * sizeof(Unit))
        self._inputs(&r.act, slots, stride, floats)
        r.act.panel = self.p.act.panel
        r.gate = <float *>self._room(slots * max(2 * width, stream) * 4)
        r.up, r.out = r.gate + slots * width, r.gate
        r.row_floats = stride
        r.row = <float *>self._room(threads * stride * 4)
        self.buffer_bytes += expert_bytes(threads, self.p.max_tokens, count, used, width, stream, floats)
