/* Sixteen rows at once in four 128-bit registers: ARM64 with dot products, and with i8mm. */
#include <arm_neon.h>
#include <string.h>

typedef struct { uint8x16_t r[4]; } Line;
typedef struct { int32x4_t r[4]; } Ints;
typedef struct { float32x4_t r[4]; } Floats;

#define EACH_LANE(X) X(0) X(1) X(2)
enum { LANES = 3 };
#define FOUR(T, a, b, c, d) ((T){{a, b, c, d}})
#define EACH4(T, f) FOUR(T, f(0), f(1), f(2), f(3))

static inline Line line_load(const uint8_t *p)
{
    return FOUR(Line, vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48));
}
static inline void line_store(uint8_t *p, Line x)
{
    for (int i = 0; i < 4; i++) vst1q_u8(p + 16 * i, x.r[i]);
}
static inline Line line_mask(Line x, int byte)
{
    uint8x16_t m = vdupq_n_u8((uint8_t)byte);
#define PART(i) vandq_u8(x.r[i], m)
    return EACH4(Line, PART);
#undef PART
}
static inline Line line_or(Line x, Line y)
{
#define PART(i) vorrq_u8(x.r[i], y.r[i])
    return EACH4(Line, PART);
#undef PART
}
static inline Line line_left(Line x, int n)
{
    int8x16_t by = vdupq_n_s8((int8_t)n);
#define PART(i) vshlq_u8(x.r[i], by)
    return EACH4(Line, PART);
#undef PART
}
static inline Line line_right(Line x, int n) { return line_left(x, -n); }
static inline Line line_lookup(Line x, const uint8_t *table)
{
    uint8x16_t t = vld1q_u8(table);
#define PART(i) vqtbl1q_u8(t, x.r[i])
    return EACH4(Line, PART);
#undef PART
}

static inline int8x16_t word(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(v));
}

static inline Ints ints_set(int32_t v)
{
    int32x4_t x = vdupq_n_s32(v);
    return FOUR(Ints, x, x, x, x);
}
static inline Ints ints_load(const int32_t *p)
{
    return FOUR(Ints, vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12));
}
static inline void ints_store(int32_t *p, Ints x)
{
    for (int i = 0; i < 4; i++) vst1q_s32(p + 4 * i, x.r[i]);
}
static inline Ints ints_add(Ints x, Ints y)
{
#define PART(i) vaddq_s32(x.r[i], y.r[i])
    return EACH4(Ints, PART);
#undef PART
}
#ifdef UNSIGNED_DOT /* i8mm multiplies unsigned by signed */
#define CODE_SHIFT 0
static inline Ints ints_dot(Ints x, Line w, const int8_t *q)
{
    int8x16_t v = word(q);
#define PART(i) vusdotq_s32(x.r[i], w.r[i], v)
    return EACH4(Ints, PART);
#undef PART
}
#define ints_dot_wide ints_dot
#else /* codes below 128 are the same signed; wide ones are made signed */
#define CODE_SHIFT 128
static inline Ints ints_dot(Ints x, Line w, const int8_t *q)
{
    int8x16_t v = word(q);
#define PART(i) vdotq_s32(x.r[i], vreinterpretq_s8_u8(w.r[i]), v)
    return EACH4(Ints, PART);
#undef PART
}
static inline Ints ints_dot_wide(Ints x, Line w, const int8_t *q)
{
    uint8x16_t flip = vdupq_n_u8(0x80);
#define PART(i) veorq_u8(w.r[i], flip)
    return ints_dot(x, EACH4(Line, PART), q);
#undef PART
}
#endif

static inline Floats floats_set(float v)
{
    float32x4_t x = vdupq_n_f32(v);
    return FOUR(Floats, x, x, x, x);
}
static inline Floats floats_zero(void) { return floats_set(0); }
static inline Floats floats_load(const float *p)
{
    return FOUR(Floats, vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12));
}
static inline void floats_store(float *p, Floats x)
{
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.r[i]);
}
static inline Floats floats_add(Floats x, Floats y)
{
#define PART(i) vaddq_f32(x.r[i], y.r[i])
    return EACH4(Floats, PART);
#undef PART
}
static inline Floats floats_mul(Floats x, Floats y)
{
#define PART(i) vmulq_f32(x.r[i], y.r[i])
    return EACH4(Floats, PART);
#undef PART
}
static inline Floats floats_fma(Floats x, Floats y, Floats z)
{
#define PART(i) vfmaq_f32(z.r[i], x.r[i], y.r[i])
    return EACH4(Floats, PART);
#undef PART
}
static inline Floats floats_fnma(Floats x, Floats y, Floats z)
{
#define PART(i) vfmsq_f32(z.r[i], x.r[i], y.r[i])
    return EACH4(Floats, PART);
#undef PART
}
static inline Floats floats_of_ints(Ints x)
{
#define PART(i) vcvtq_f32_s32(x.r[i])
    return EACH4(Floats, PART);
#undef PART
}
static inline Floats floats_of_halves(const uint8_t *p)
{
#define PART(i) vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * (i))))
    return EACH4(Floats, PART);
#undef PART
}
static inline Ints ints_of_bytes(int8x16_t b)
{
    int16x8_t low = vmovl_s8(vget_low_s8(b)), high = vmovl_s8(vget_high_s8(b));
    return FOUR(Ints, vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
                vmovl_s16(vget_high_s16(high)));
}
static inline Floats floats_of_int8(const uint8_t *p)
{
    return floats_of_ints(ints_of_bytes(vld1q_s8((const int8_t *)p)));
}
static inline Floats floats_of_nibbles(const uint8_t *p, int shift)
{
    uint8x16_t v = vandq_u8(vshlq_u8(vld1q_u8(p), vdupq_n_s8((int8_t)-shift)), vdupq_n_u8(15));
    return floats_of_ints(ints_of_bytes(vreinterpretq_s8_u8(v)));
}
/* half of 2^(e - 127), but 0 for e = 0 */
static inline Floats floats_of_powers(const uint8_t *e)
{
    Ints bytes = ints_of_bytes(vreinterpretq_s8_u8(vld1q_u8(e)));
#define PART(i) \
    vmulq_n_f32(vreinterpretq_f32_s32(vshlq_n_s32(vandq_s32(bytes.r[i], vdupq_n_s32(255)), 23)), 0.5f)
    return EACH4(Floats, PART);
#undef PART
}
