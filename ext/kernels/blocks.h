/* The block formats of GGUF, one line each, and the layout that the kernels compute with.
 *
 * A value is scale * (code - offset), or scale * code - min. Codes are bit fields; with a table they are
 * indices into it. Scales come in a few manners; that is all that tells one format from another. */
#ifndef STERNA_BLOCKS_H
#define STERNA_BLOCKS_H

#include "sterna.h"

enum { /* where the scale of a span of values comes from */
    SCALE_HALF,     /* a float16 for 32 values */
    SCALE_HALF_MIN, /* and a float16 to add */
    SCALE_E8M0,     /* a power of two in a byte, for 32 values */
    SCALE_INT,      /* int8 a span, times a float16 for 256 values */
    SCALE_INT_MIN,  /* and uint8 minima, times another float16 */
    SCALE_NIBBLES,  /* the same, both in one byte */
    SCALE_ODD       /* an odd number below 32 a span, times a float16 for 256 values */
};
enum { TABLE_NONE, TABLE_NL, TABLE_MX, TABLE_IQ2, TABLE_IQ3_XXS, TABLE_IQ3_S, TABLE_NL_SIGNED, TABLES }; /* of 16 values */

/* X(name, GGUF type, values of a block, its bytes, bits of a code, values of a span, scaling, offset, table) */
#define EACH_FORMAT(X)                                                \
    X(q4_0, 2, 32, 18, 4, 32, SCALE_HALF, 8, TABLE_NONE)              \
    X(q4_1, 3, 32, 20, 4, 32, SCALE_HALF_MIN, 0, TABLE_NONE)          \
    X(q5_0, 6, 32, 22, 5, 32, SCALE_HALF, 16, TABLE_NONE)             \
    X(q5_1, 7, 32, 24, 5, 32, SCALE_HALF_MIN, 0, TABLE_NONE)          \
    X(q8_0, 8, 32, 34, 8, 32, SCALE_HALF, 128, TABLE_NONE)            \
    X(q2_k, 10, 256, 84, 2, 16, SCALE_NIBBLES, 0, TABLE_NONE)         \
    X(q3_k, 11, 256, 110, 3, 16, SCALE_INT, 4, TABLE_NONE)            \
    X(q4_k, 12, 256, 144, 4, 32, SCALE_INT_MIN, 0, TABLE_NONE)        \
    X(q5_k, 13, 256, 176, 5, 32, SCALE_INT_MIN, 0, TABLE_NONE)        \
    X(q6_k, 14, 256, 210, 6, 16, SCALE_INT, 32, TABLE_NONE)           \
    X(iq4_nl, 20, 32, 18, 4, 32, SCALE_HALF, 128, TABLE_NL)           \
    X(iq4_xs, 23, 256, 136, 4, 32, SCALE_INT, 128, TABLE_NL)          \
    X(iq2_xxs, 16, 256, 66, 3, 32, SCALE_ODD, 43, TABLE_IQ2)          \
    X(iq2_xs, 17, 256, 74, 3, 16, SCALE_ODD, 43, TABLE_IQ2)           \
    X(iq2_s, 22, 256, 82, 3, 16, SCALE_ODD, 43, TABLE_IQ2)            \
    X(iq3_xxs, 18, 256, 98, 4, 32, SCALE_ODD, 31, TABLE_IQ3_XXS)      \
    X(iq3_s, 21, 256, 110, 4, 32, SCALE_ODD, 15, TABLE_IQ3_S)         \
    X(mxfp4, 39, 32, 17, 4, 32, SCALE_E8M0, 12, TABLE_MX)             \
    X(tq1_0, 34, 256, 54, 2, 32, SCALE_INT, 1, TABLE_NONE)            \
    X(tq2_0, 35, 256, 66, 2, 32, SCALE_INT, 1, TABLE_NONE)

#define FORMAT_INDEX(name, ...) FORMAT_##name,
enum { EACH_FORMAT(FORMAT_INDEX) FORMATS };

/* A block of a file, taken apart. Integers of a span of 16 or 32 values; for 32-value formats one span. */
typedef struct {
    uint8_t code[256];
    int8_t scale[16];
    uint8_t min[16];
    uint16_t d, dmin; /* float16; e8m0: the byte, in d */
} Parts;

typedef struct {
    const char *name;
    int type, values, bytes, bits, span, scaling, offset, table;
    void (*take_apart)(const uint8_t *block, Parts *parts);
} Format;

extern const Format formats[FORMATS];
extern const uint8_t tables[TABLES][16]; /* what is looked up, plus the offset, so that none is negative; or int8 */

/* What a code's value is counted in: a power of two, so that multiplying by it rounds nothing. */
static inline float table_unit(int table) { return table == TABLE_IQ2 ? 0.125f : table == TABLE_IQ3_XXS ? 0.5f : 1; }

/* The greatest code, or value of the table. */
static inline int greatest_code(int bits, int table)
{
    return table == TABLE_NL    ? 241
        : table == TABLE_MX      ? 24
        : table == TABLE_IQ2     ? 86
        : table == TABLE_IQ3_XXS ? 62
        : table == TABLE_IQ3_S   ? 30
                                 : (1 << bits) - 1;
}

/* The format of a GGUF type, or NULL. */
const Format *format_of(int type);

/* --- the packed layout -----------------------------------------------------------------------
 *
 * Groups of 16 rows; a group is a run of units, each of unit_columns(). A unit holds its scales, up to a
 * multiple of 64 bytes, then its codes, in stripes of 32 columns. What is needed first comes first: memory
 * is fastest when it is read in one direction.
 *
 * A line is 64 bytes: dword r is row r, byte c of it a column of four, so a line of bytes is a "quad" of
 * columns. Codes of a stripe, eight quads, in as many lines as a code has bits:
 *   8 bits  a line a quad
 *   4 bits  line l: quad 2l in the low halves of bytes, quad 2l + 1 in the high ones
 *   2 bits  line l: quad 4l + p in bits 2p
 *   5, 3    a line with the top bit of quad p in bit p, then 4 or 2 bits as above
 *   6 bits  two lines with the upper two as in 2 bits, then 4 bits as above
 * Scales of a unit, 16 rows side by side:
 *   HALF      [stripe] float16        HALF_MIN  [stripe] two float16      E8M0  [stripe] byte
 *   INT       [span] int8, then d     NIBBLES   [span] byte, d, dmin
 *   INT_MIN   [span] int8, [span] minimum, d, dmin
 *   ODD       [span / 2] byte: half of the odd number of two spans, the first one low; d */
enum { STRIPE = 32 };

static inline int unit_columns(int values) { return values == 256 ? 256 : 64; }

static inline int has_min(int scaling)
{
    return scaling == SCALE_HALF_MIN || scaling == SCALE_INT_MIN || scaling == SCALE_NIBBLES;
}

/* Where the scales of a unit's spans end; there stands d, if its scales are whole numbers. */
static inline int factor_at(int spans, int scaling)
{
    return spans
        * (scaling == SCALE_HALF                               ? 32
               : scaling == SCALE_HALF_MIN                     ? 64
               : scaling == SCALE_INT_MIN                      ? 32
               : scaling == SCALE_ODD                          ? 8
                                                               : 16);
}

static inline int scale_bytes(int values, int span, int scaling)
{
    int spans = unit_columns(values) / span;
    int bytes = factor_at(spans, scaling) + (scaling < SCALE_INT ? 0 : has_min(scaling) ? 64 : 32);
    return (bytes + 63) & ~63;
}

static inline int code_bytes(int values, int bits) { return unit_columns(values) / STRIPE * bits * 64; }

static inline int unit_bytes(int values, int bits, int span, int scaling)
{
    return code_bytes(values, bits) + scale_bytes(values, span, scaling);
}

/* Split, for output matrices: the scales and the upper two bits of the codes (as 2 bits above) in one place, the
 * next two in another, the lowest (as 2 or 4 bits) in a third. A token that is to be chosen among thousands of rows
 * needs the lower bits of few of them. X(name, values of a block, bits of a code, values of a span, scaling, offset) */
#define EACH_SPLIT(X)                   \
    X(q6_k, 256, 6, 16, SCALE_INT, 32)  \
    X(q8_0, 32, 8, 32, SCALE_HALF, 128)

enum { UPPER_BITS = 2, MIDDLE_BITS = 2, SPLIT_COLUMNS = 16384 /* at most */ };

/* The places of a split matrix. */
enum { SPLIT_UPPER, SPLIT_MIDDLE, SPLIT_LOWER, SPLIT_PARTS };

/* The bits of a code that lie in a place. */
static inline int split_bits(int bits, int part)
{
    return part == SPLIT_UPPER ? UPPER_BITS : part == SPLIT_MIDDLE ? MIDDLE_BITS : bits - UPPER_BITS - MIDDLE_BITS;
}

/* Whether an output matrix is split. */
int split_exists(int type, int cols);
/* bytes of 16 rows in a place */
size_t split_bytes(const Format *f, int cols, int part);
void split_pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols,
                      uint8_t *const parts[SPLIT_PARTS]);

/* Of 16 rows of floats (F32, F16, BF16), what their upper bits would be in Q6_K; 0 if that cannot hold them. `cols` is
 * a multiple of 256. */
const Format *sketch_format(void);
int sketch_pack_group(int type, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed);

/* Row `r` of a group: a block that was taken apart, the upper `bits` of its codes. */
void pack_block(const Format *f, const Parts *p, int block, int r, int bits, uint8_t *packed);

size_t blocks_group_bytes(const Format *f, int cols);
/* `rows` (at most 16) rows to one group; missing rows are zero. */
void blocks_pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed);

/* A whole number of blocks to float32, as the format defines it, in its order of operations. */
void blocks_dequantise(const Format *f, const uint8_t *data, int64_t n, float *out);

#endif
