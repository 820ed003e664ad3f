# The C library as Cython sees it.
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t

cdef extern from "kernels/sterna.h" nogil:
    enum:
        ACT_FLOAT
        ACT_ROW
        ACT_BLOCK
        ROW_GROUP
        TILE_TOKENS
        BLOCK
        SPAN
        PANEL_BYTES
        PANEL_ROWS
        TYPE_F32
        TYPE_F16
        TYPE_BF16
        TYPE_I2_S
        TYPE_TQ1_0
        TYPE_TQ2_0
        TYPE_TERNARY
        TYPE_TRITS
        TYPE_PACKED
        TYPE_SPLIT
        TRIT_COLUMNS
        PACK_UNEVEN
        PACK_NO_TRITS
        KEEP_F32
        KEEP_F16
        KEEP_Q8
        ATTEND_TILE
        QUERY_ROWS
        GATE_SILU
        GATE_RELU2
        GATE_GELU

    ctypedef struct Act:
        int tokens, width, stride
        float *f
        int8_t *row_q
        float *row_scale
        int32_t *row_sum
        int8_t *block_q
        float *block_scale
        int32_t *block_sum
        uint8_t *panel

    struct Matrix:
        int type, rows, cols, form
        size_t row_bytes
        const uint8_t *data
        const uint8_t *middle
        const uint8_t *lower
        const Matrix *sketch
        const float *scale
        void (*multiply)(const Matrix *, int, int, const Act *, float *, int) noexcept nogil

    ctypedef struct Cache:
        void *data
        uint16_t *scale
        int type, keys, heads, capacity, width

    ctypedef struct Kernels:
        const char *name
        void *trits
        uint64_t (*read)(const void *, size_t) noexcept nogil
        double (*sum_exp)(const float *, int, float) noexcept nogil

    const Kernels *kernels_select(const char *wanted)
    int kernels_available(const char **names)
    void *kernels_matmul(const Kernels *, int type, int *form)
    size_t attend_scratch(int value_width)
    void cache_keep(const Kernels *, const Cache *, const float *, int)
    size_t cache_data_bytes(const Cache *)
    size_t cache_scale_bytes(const Cache *)
    int dequantise(int type, const uint8_t *data, int64_t n, float *out)
    size_t type_row_bytes(int type, int64_t cols)
    int ternary_pack_group(int packing, int type, const uint8_t *data, size_t row_bytes, int rows, int cols,
                           uint8_t *packed, float *scale)
    size_t ternary_group_bytes(int packing, int cols)

cdef extern from "kernels/blocks.h" nogil:
    ctypedef struct Format:
        const char *name
        int type
    const Format *format_of(int type)
    bint split_exists(int type, int cols)
    enum:
        SPLIT_UPPER
        SPLIT_MIDDLE
        SPLIT_LOWER
        SPLIT_PARTS
        SPLIT_COLUMNS
    size_t split_bytes(const Format *f, int cols, int part)
    void split_pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols,
                          uint8_t *const *parts)
    const Format *sketch_format()
    int sketch_pack_group(int type, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed)
    size_t blocks_group_bytes(const Format *f, int cols)
    void blocks_pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed)

cdef extern from "kernels/pool.h" nogil:
    ctypedef struct Pool:
        pass
    ctypedef void (*PoolJob)(void *context, Pool *pool, int index) noexcept nogil
    Pool *pool_create(int threads)
    void pool_destroy(Pool *pool)
    int pool_threads(const Pool *pool)
    void pool_run(Pool *pool, PoolJob job, void *context)
    int pool_reserve(Pool *pool, int phases)
    void pool_open(Pool *pool, int index, int total, int chunk)
    int pool_take(Pool *pool, int index, int *begin, int *end)
    void pool_close(Pool *pool, int index)

cdef extern from "kernels/program.h" nogil:
    enum:
        STEP_EMBED
        STEP_NORM
        STEP_LINEAR
        STEP_ROPE
        STEP_ATTEND
        STEP_GLU
        STEP_CAP
        STEP_EXPERTS
        STEP_KINDS
        MAX_OUTPUTS
        MAX_PARTS
        KEEP_MAX

    ctypedef struct SideOut:
        const void *up
        int first, ranks

    ctypedef struct Side:
        Matrix down
        int ranks, half
        const float *factor
        SideOut out[3]

    ctypedef struct Counts:
        int groups, units

    ctypedef struct Experts:
        int count, used, width, kind_of_gate, normalise
        float scale
        const float *logits
        const Matrix **gate
        const Matrix **up
        const Matrix **down
        Counts *counts
        double *squares
        double *inner_squares
        int64_t *seen

    ctypedef struct Group:
        pass

    ctypedef struct Unit:
        pass

    ctypedef struct Routed:
        int *chosen
        float *weight
        int *slot
        int *token
        float *share
        int *of
        Group *group
        Unit *unit
        Act act
        float *gate
        float *up
        float *out
        float *row
        size_t row_floats

    ctypedef struct Step:
        int kind
        const Experts *experts
        const Side *side
        float *in_ "in"
        float *out[3]
        const float *bias[3]
        const Matrix *matrix[3]
        int outputs, width
        double *squares
        int out_width[3]
        const float *weight
        const float *branch
        const float *branch_weight
        const float *gate
        float eps
        int forms, last_only, add, kind_of_gate
        float scale
        Cache *k
        Cache *v
        int q_heads, rope_width, neox
        const float *inverse[2]
        float rope_scale
        const float *q_norm
        const float *k_norm
        float cap
        int window, file
        int64_t offset

    ctypedef struct Program:
        const Kernels *kernels
        Pool *pool
        Step *steps
        int count, max_tokens
        Act act
        Routed routed
        float *scratch
        size_t scratch_floats
        size_t panel_bytes
        float *mid
        float *partial
        size_t partial_floats
        int keep, far
        float *best
        float *most
        int *list
        double chosen, looked, closer, exact
        int *cancel
        double seconds[16]

    int program_phases(const Program *p)
    int expert_slots(int tokens, int count, int used)
    int program_run(Program *p, const int32_t *ids, int tokens, int first, int logits_from)

cdef extern from "kernels/sample.h" nogil:
    ctypedef struct Sampling:
        float temperature
        int top_k
        float top_p, min_p, repeat_penalty
    ctypedef struct Candidate:
        pass
    int32_t sample(const Kernels *, float *logits, int vocab, const Sampling *, const int32_t *recent,
                   int recents, Candidate *room, uint64_t *state, float *logprob)
