/* Blocks side by side, one a lane: sums over a block's values need no sums across lanes, and the same
 * operations in the same order on every processor, however wide, give the same file everywhere. */
#ifndef STERNA_LANES_H
#define STERNA_LANES_H

#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { VW = 16 };
#elif defined(__AVX2__)
enum { VW = 8 };
#else
enum { VW = 4 };
#endif
enum { LANES = 16, SLICES = LANES / VW }; /* lanes are worked on a slice of VW at a time */
typedef float V __attribute__((vector_size(4 * VW)));
typedef int32_t M __attribute__((vector_size(4 * VW))); /* a mask */

#define INLINE static inline __attribute__((always_inline))

INLINE V all(float f) { return (V){0} + f; }
INLINE V size_of(V a) { return (V)((M)a & 0x7fffffff); }

#if defined(__AVX512F__)
INLINE V pick(M m, V a, V b) { return (V)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)m), (__m512)b, (__m512)a); }
INLINE V least(V a, V b) { return (V)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE V most(V a, V b) { return (V)_mm512_max_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
INLINE V pick(M m, V a, V b) { return (V)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m); }
INLINE V least(V a, V b) { return (V)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE V most(V a, V b) { return (V)_mm256_max_ps((__m256)a, (__m256)b); }
#else
INLINE V pick(M m, V a, V b) { return (V)(((M)a & m) | ((M)b & ~m)); }
INLINE V least(V a, V b) { return pick(a < b, a, b); }
INLINE V most(V a, V b) { return pick(a > b, a, b); }
#endif

/* To the nearest whole number, halves to even; |a| < 2^22. */
INLINE V rounded(V a)
{
    V magic = all(12582912.0f);
    return (a + magic) - magic;
}

/* 1 / a, and 0 where that would be no number. */
INLINE V inverse(V a)
{
    M fine = size_of(a) > all(1e-30f);
    return pick(fine, 1.0f / pick(fine, a, all(1)), all(0));
}

/* One number for each lane. */
typedef struct {
    float lane[LANES] __attribute__((aligned(64)));
} Row;

INLINE V slice_of(const Row *r, int slice) { return *(const V *)(r->lane + slice * VW); }
INLINE void put_slice(Row *r, int slice, V v) { *(V *)(r->lane + slice * VW) = v; }

/* Up to 16 blocks: values, and the weights of their errors. */
typedef struct {
    int n;
    Row x[256], w[256];
} Group;

#endif
