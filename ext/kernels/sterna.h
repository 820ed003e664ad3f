/* The shapes that every kernel shares. Plain arrays only: nothing here knows a model. */
#ifndef STERNA_H
#define STERNA_H

#include <stddef.h>
#include <stdint.h>

/* GGUF type ids that have a meaning of their own here; the block formats are listed in blocks.h. */
enum {
    TYPE_F32 = 0, TYPE_F16 = 1, TYPE_BF16 = 30, TYPE_TQ1_0 = 34, TYPE_TQ2_0 = 35, TYPE_I2_S = 36,
    /* our own packings, made at load: ternary in two bits, and in five trits a byte; any block format,
     * 16 rows interleaved (TYPE_PACKED + its GGUF type) */
    TYPE_TERNARY = 1000, TYPE_TRITS = 1001, TYPE_PACKED = 2000,
    TYPE_SPLIT = 3000 /* + its GGUF type: packed in three parts, see blocks.h, "split" */
};

/* Forms in which a matrix wants its input vector; a bit mask, one matrix wants one. */
enum {
    ACT_FLOAT = 1, /* float32 */
    ACT_ROW = 2,   /* int8, one scale a token (as BitNet b1.58 was trained) */
    ACT_BLOCK = 4  /* int8, one scale a block of 32 */
};

#define ROW_GROUP 16   /* rows that a packed matrix interleaves */
#define TRIT_COLUMNS 20 /* columns in a line of five trits a byte */
#define TILE_TOKENS 12 /* tokens that a prefill tile takes at once */
#define PANEL_QUADS 160 /* fours of columns that a panel holds: with its activations, the first-level cache */
#define PANEL_ROWS 64   /* rows whose panels of unpacked codes lie side by side */
#define PANEL_BYTES (48 * 1024) /* their room */
#define BLOCK 32       /* values under one scale in ACT_BLOCK */
#define SPAN 16        /* values whose codes are summed in ACT_BLOCK: no scale of a weight format is finer */

/* The input of a matrix product: `tokens` vectors of `width` values, in the forms asked for.
 *
 * The int8 forms lie in tiles of `lanes` tokens, in a tile [quad of values][lane], a quad being a dword
 * of four consecutive values, so that a tile kernel broadcasts from consecutive addresses. One token has
 * one lane, several have TILE_TOKENS. Values from width to the end of a row are zero, scales too. */
typedef struct {
    int tokens, width, lanes;
    int add;           /* the product goes onto what is in the output */
    int tile_width;    /* values of a row of row_q: width, up to the next multiple of TRIT_COLUMNS */
    int stride;        /* values of a row of f and block_q; a multiple of 64 */
    float *f;          /* [tokens][stride] */
    int8_t *row_q;     /* [tile][tile_width / 4][lane][4] */
    float *row_scale;  /* [tokens] value = scale * q */
    int32_t *row_sum;  /* [tokens] sum of q */
    int8_t *block_q;   /* [tile][stride / 4][lane][4] */
    float *block_scale; /* [tile][stride / BLOCK][lane] */
    int32_t *block_sum; /* [tile][stride / SPAN][lane] sum of q */
    uint8_t *panel;     /* room of this thread: PANEL_BYTES, then the sums of the tiles */
    int32_t *sums;      /* [PANEL_ROWS] for each token and TILE_TOKENS more */
} Act;

typedef struct Matrix Matrix;

/* out[t * out_stride + r] = (or +=) sum over k of matrix[r][k] * input[t][k], for r in [row0, row1).
 * row0 is a multiple of ROW_GROUP; row1 too, or the number of rows. */
typedef void (*MatMul)(const Matrix *m, int row0, int row1, const Act *a, float *out, int out_stride);

struct Screening; /* what estimates need of the activations: screening.h */

/* One token by a group of 16 rows, at the upper bits of a split matrix alone or, `closer`, with the middle ones:
 * estimates to `out`, the greatest of them (`best`), and the greatest value that but for chance none of the group exceeds
 * (`most`). What is read of group `next` is asked for meanwhile. */
typedef void (*Screen)(const Matrix *m, int group, int next, const Act *a, const struct Screening *s, int closer, float *out,
                       float *best, float *most);

struct Matrix {
    int type;         /* TYPE_… */
    int rows, cols;   /* cols: length of a row, the width of the input */
    int form;         /* ACT_… */
    size_t row_bytes; /* bytes of a row in `data`; of a packed matrix, on average */
    const uint8_t *data;
    const uint8_t *middle, *lower; /* of a split matrix: the other bits of its codes */
    const Matrix *sketch; /* NULL, or the upper bits of a split matrix, to find the greatest products by */
    const float *scale; /* ternary packings: one a row, padded to ROW_GROUP */
    MatMul multiply;  /* NULL: a table, only looked up */
};

/* How the feed-forward turns its gate: SiLU, ReLU squared, GELU (by tanh). */
enum { GATE_SILU, GATE_RELU2, GATE_GELU };

/* Keys or values of one layer, a ring: position p lies at p % capacity. Keys lie in blocks of 16 positions, [head][position / 16][width][16], so
 * that scores of 16 positions are a register; values lie by position, [head][position][row], rows padded
 * to 16. As int8 there is a float16 scale for every 32 values of a position: for keys
 * [head][position / 16][group][16], for values [head][group][position]. */
enum { KEEP_F32, KEEP_F16, KEEP_Q8 };
enum { KEY_BLOCK = 16, KEEP_GROUP = 32, ATTEND_TILE = 64 };
typedef struct {
    void *data;
    uint16_t *scale;
    int type, keys; /* KEEP_…; whether it holds keys */
    int heads, capacity, width; /* a capacity that is wrapped around is a multiple of ATTEND_TILE */
} Cache;

static inline int cache_row(const Cache *c) { return (c->width + 15) & ~15; }
static inline int cache_groups(const Cache *c) { return (c->width + KEEP_GROUP - 1) / KEEP_GROUP; }
static inline int cache_blocks(const Cache *c) { return (c->capacity + KEY_BLOCK - 1) / KEY_BLOCK; }

/* One attention job: `tokens` queries at positions first..first+tokens-1 over cached positions. */
typedef struct {
    const float *q; /* [tokens][q_stride], head h at h * key width */
    float *out;     /* [tokens][out_stride], head h at h * value width */
    int q_stride, out_stride;
    int tokens, first; /* position of the first query */
    int q_heads;
    float scale;
    float cap;      /* scores s become cap * tanh(s / cap); 0: as they are */
    int window;     /* a query sees so many positions, its own included; 0: all */
    const Cache *k, *v;
} Attention;

/* How many bytes ahead of what it multiplies the decoding of the VNNI sets asks for memory: 0 where the
 * processor's own prefetcher does better alone. Set when a set is chosen. */
extern int kernels_read_ahead;

enum { FORMATS_MAX = 24 };

/* What differs by instruction set. */
typedef struct {
    const char *name;
    MatMul ternary, trits; /* trits: NULL where it would not pay */
    MatMul f32, f16, bf16;
    MatMul blocks[FORMATS_MAX]; /* packed block formats, in the order of blocks.h */
    MatMul splits[FORMATS_MAX]; /* split ones, exact; in the same order */
    Screen screens[FORMATS_MAX];
    /* sum of squares in double, then x * weight / rms; weight may be NULL (then only copied) */
    void (*rms_norm)(const float *x, const float *weight, int n, float eps, float *out);
    /* into one lane of a tile: quads lie 4 * lanes bytes apart, scales and sums `lanes` apart */
    void (*quantise_row)(const float *x, int n, int lanes, int8_t *q, float *scale, int32_t *sum);
    /* n is a multiple of 64: scale [n / BLOCK], sum [n / SPAN] */
    void (*quantise_block)(const float *x, int n, int lanes, int8_t *q, float *scale, int32_t *sum);
    /* one kv head, queries [t0, t1) of the job, cached positions [p0, p1) (causal). With `partial`
     * the unnormalised result goes there: per query row: value width floats, then max, then sum.
     * p0 is a multiple of KEY_BLOCK, of ATTEND_TILE where the cache wraps around. */
    void (*attend)(const Attention *job, int kv_head, int t0, int t1, int p0, int p1, float *scratch, float *partial);
    /* out = act(gate) * up, act by `kind`: GATE_… */
    void (*glu)(const float *gate, const float *up, int n, int kind, float *out);
    void (*soft_cap)(float *x, int n, float cap); /* cap * tanh(x / cap) */
    void (*add)(float *x, const float *y, int n);
    /* the second half of an adapter, for rows [row0, row1), row0 a multiple of ROW_GROUP:
     * out[t][r] += sum over j of mid[t][j] * up[r / ROW_GROUP][j][r % ROW_GROUP], float16 (`half`) or float32 */
    void (*side)(const void *up, int half, int ranks, const float *mid, int mid_stride, int tokens, int row0, int row1,
                 float *out, int out_stride);
    void (*store_half)(const float *x, int n, uint16_t *out);
    double (*sum_exp)(const float *x, int n, float shift); /* sum of exp(x - shift) */
    uint64_t (*read)(const void *data, size_t bytes);      /* only read it, as fast as can be */
} Kernels;

extern const Kernels kernels_scalar, kernels_avx2, kernels_avxvnni, kernels_avx512vl, kernels_avx512, kernels_avx512vbmi,
    kernels_neon, kernels_neon_i8mm; /* those of the machine that is built for */

/* Choose by what the CPU has; `wanted` ("scalar", "avx2", …) overrides. NULL when absent. */
const Kernels *kernels_select(const char *wanted);
int kernels_available(const char *names[8]);
/* The product for a type, and the form of its input; NULL for a type unknown here. */
MatMul kernels_matmul(const Kernels *kernels, int type, int *form);
Screen kernels_screen(const Kernels *kernels, int type); /* NULL unless it is split */

/* Number of floats of scratch that attend() needs, and the most query rows that it takes. */
size_t attend_scratch(int value_width);
enum { QUERY_ROWS = 64 };

/* Bytes of the data and of the scales of a cache. */
size_t cache_data_bytes(const Cache *c);
size_t cache_scale_bytes(const Cache *c);

/* Put the vectors of all heads of one position into it. */
void cache_keep(const Kernels *kernels, const Cache *c, const float *x, int position);

/* Rows to float32: exact, in the order of the file. Returns 0, or -1 for a type unknown here. */
int dequantise(int type, const uint8_t *data, int64_t n, float *out);
size_t type_row_bytes(int type, int64_t cols); /* 0: unknown, or cols does not fit the blocks */

/* Ternary: 16 rows to one of our packings (TYPE_TERNARY, TYPE_TRITS). `rows` may be less than 16 (the
 * rest is zero). Row r of the group is at data + r * row_bytes, its codes 0 1 2. */
enum {
    PACK_UNEVEN = 1,  /* a row's blocks differ in scale: it is no single scale times trits */
    PACK_NO_TRITS = 2 /* a code 3, which five trits a byte cannot hold */
};
int ternary_pack_group(int packing, int type, const uint8_t *data, size_t row_bytes, int rows, int cols,
                       uint8_t *packed, float *scale);
size_t ternary_group_bytes(int packing, int cols);

/* float16 and bfloat16 to float32, in software: the reference */
float half_to_float(uint16_t h);
uint16_t float_to_half(float f);

#endif
