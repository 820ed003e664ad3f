/* Sixteen rows at once, in one 512-bit register: what blocks.inc is written in. */
#include <immintrin.h>
#include <string.h>

typedef __m512i Line;   /* 64 bytes: a dword of codes of each row */
typedef __m512i Ints;   /* a sum of each row */
typedef __m512 Floats;

#define READ_AHEAD kernels_read_ahead
#define CODE_SHIFT 0 /* ints_dot_wide takes codes as they are */
#define EACH_LANE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
enum { LANES = 12 };

static inline Line line_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
static inline void line_store(uint8_t *p, Line a) { _mm512_storeu_si512(p, a); }
static inline Line line_mask(Line a, int byte) { return _mm512_and_si512(a, _mm512_set1_epi8((char)byte)); }
static inline Line line_or(Line a, Line b) { return _mm512_or_si512(a, b); }
/* shifts of 16 bits: what crosses from byte to byte is masked away by the caller */
static inline Line line_right(Line a, int n) { return _mm512_srl_epi16(a, _mm_cvtsi32_si128(n)); }
static inline Line line_left(Line a, int n) { return _mm512_sll_epi16(a, _mm_cvtsi32_si128(n)); }
static inline Line line_lookup(Line index, const uint8_t *table)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table)), index);
}

static inline Ints ints_set(int32_t v) { return _mm512_set1_epi32(v); }
static inline Ints ints_load(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline void ints_store(int32_t *p, Ints a) { _mm512_storeu_si512(p, a); }
static inline Ints ints_add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
/* The instruction itself: of the intrinsic, compilers make a broadcast of its own and copies of sums. */
static inline Ints ints_dot(Ints a, Line code, const int8_t *q)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(a) : "v"(code), "m"(*(const int8_t(*)[4])q));
    return a;
}
#define ints_dot_wide ints_dot

static inline Floats floats_zero(void) { return _mm512_setzero_ps(); }
static inline Floats floats_set(float v) { return _mm512_set1_ps(v); }
static inline Floats floats_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void floats_store(float *p, Floats a) { _mm512_storeu_ps(p, a); }
static inline Floats floats_add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
static inline Floats floats_mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
static inline Floats floats_fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline Floats floats_fnma(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
static inline Floats floats_of_ints(Ints a) { return _mm512_cvtepi32_ps(a); }
static inline Floats floats_of_halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline Floats floats_of_int8(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline Floats floats_of_nibbles(const uint8_t *p, int shift)
{
    __m512i a = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srl_epi32(a, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(15)));
}
/* half of 2^(e - 127), but 0 for e = 0 */
static inline Floats floats_of_powers(const uint8_t *e)
{
    __m512i bits = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)e)), 23);
    return _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0.5f));
}
