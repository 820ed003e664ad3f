/* Sixteen rows at once in plain C: the reference, and what runs where nothing faster is known. */
#include <string.h>

typedef struct { uint8_t b[64]; } Line;
typedef struct { int32_t v[16]; } Ints;
typedef struct { float v[16]; } Floats;

#define CODE_SHIFT 0
#define EACH_LANE(X) X(0)
enum { LANES = 1 };
#define EACH(expression)                         \
    for (int i = 0; i < 16; i++) r.v[i] = (expression); \
    return r

static inline Line line_load(const uint8_t *p)
{
    Line r;
    memcpy(&r, p, sizeof r);
    return r;
}
static inline void line_store(uint8_t *p, Line a) { memcpy(p, &a, sizeof a); }
static inline Line line_mask(Line a, int byte)
{
    for (int i = 0; i < 64; i++) a.b[i] &= (uint8_t)byte;
    return a;
}
static inline Line line_or(Line a, Line b)
{
    for (int i = 0; i < 64; i++) a.b[i] |= b.b[i];
    return a;
}
static inline Line line_right(Line a, int n)
{
    for (int i = 0; i < 64; i++) a.b[i] = (uint8_t)(a.b[i] >> n);
    return a;
}
static inline Line line_left(Line a, int n)
{
    for (int i = 0; i < 64; i++) a.b[i] = (uint8_t)(a.b[i] << n);
    return a;
}
static inline Line line_lookup(Line index, const uint8_t *table)
{
    for (int i = 0; i < 64; i++) index.b[i] = table[index.b[i] & 15];
    return index;
}

static inline Ints ints_set(int32_t v) { Ints r; EACH(v); }
static inline Ints ints_load(const int32_t *p) { Ints r; EACH(p[i]); }
static inline void ints_store(int32_t *p, Ints a) { memcpy(p, &a, sizeof a); }
static inline Ints ints_add(Ints a, Ints b) { Ints r; EACH(a.v[i] + b.v[i]); }
static inline Ints ints_dot(Ints a, Line w, const int8_t *q)
{
    Ints r;
    EACH(a.v[i] + w.b[4 * i] * q[0] + w.b[4 * i + 1] * q[1] + w.b[4 * i + 2] * q[2] + w.b[4 * i + 3] * q[3]);
}
#define ints_dot_wide ints_dot

static inline Floats floats_zero(void) { Floats r; EACH(0); }
static inline Floats floats_set(float v) { Floats r; EACH(v); }
static inline Floats floats_load(const float *p) { Floats r; EACH(p[i]); }
static inline void floats_store(float *p, Floats a) { memcpy(p, &a, sizeof a); }
static inline Floats floats_add(Floats a, Floats b) { Floats r; EACH(a.v[i] + b.v[i]); }
static inline Floats floats_mul(Floats a, Floats b) { Floats r; EACH(a.v[i] * b.v[i]); }
static inline Floats floats_fma(Floats a, Floats b, Floats c) { Floats r; EACH(a.v[i] * b.v[i] + c.v[i]); }
static inline Floats floats_fnma(Floats a, Floats b, Floats c) { Floats r; EACH(c.v[i] - a.v[i] * b.v[i]); }
static inline Floats floats_of_ints(Ints a) { Floats r; EACH((float)a.v[i]); }
static inline Floats floats_of_halves(const uint8_t *p)
{
    Floats r;
    EACH(half_to_float((uint16_t)(p[2 * i] | p[2 * i + 1] << 8)));
}
static inline Floats floats_of_int8(const uint8_t *p) { Floats r; EACH((float)(int8_t)p[i]); }
static inline Floats floats_of_nibbles(const uint8_t *p, int shift) { Floats r; EACH((float)(p[i] >> shift & 15)); }
/* half of 2^(e - 127), but 0 for e = 0 */
static inline Floats floats_of_powers(const uint8_t *e)
{
    Floats r;
    for (int i = 0; i < 16; i++) {
        uint32_t bits = (uint32_t)e[i] << 23;
        memcpy(r.v + i, &bits, 4);
        r.v[i] *= 0.5f;
    }
    return r;
}
#undef EACH
