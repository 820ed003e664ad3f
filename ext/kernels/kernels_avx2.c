/* AVX2 with FMA and F16C (x86-64-v3: Haswell, Zen and later). */
#include "sterna.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define NAME(x) avx2_##x
#define VW 8
#define load_half(p) ((VecF)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p))))
#define store_half_vec(p, v) \
    _mm_storeu_si128((__m128i *)(p), _mm256_cvtps_ph((__m256)(v), _MM_FROUND_TO_NEAREST_INT))
#include "float_ops.inc"
#include "quantise.inc"
#include "ternary_avx2.inc"

#define avx2_unpack_q8_0 unpack_q8_0
#define avx2_unpack_q4_0 unpack_q4_0
#define avx2_unpack_q6_k unpack_q6_k

/* Codes go up to 255 (Q8_0), so pairs of 8-bit products would overflow 16 bits: both sides are
 * widened first. Two blocks at a time. */
static inline float avx2_dot(const Unpacked *u, const int8_t *q, const float *scale, const float *sum, int n)
{
    __m256 acc = _mm256_setzero_ps();
    float mins = 0;
    for (int k = 0; k < n; k += 32) {
        int b = k / BLOCK;
        __m256i d[2];
        for (int i = 0; i < 2; i++) {
            __m256i c = _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *)(u->code + k + 16 * i)));
            __m256i v = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(q + k + 16 * i)));
            d[i] = _mm256_madd_epi16(c, v);
        }
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[0]), _mm256_set1_ps(u->scale[b] * scale[b]), acc);
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[1]), _mm256_set1_ps(u->scale[b + 1] * scale[b + 1]), acc);
        mins += u->min[b] * sum[b] + u->min[b + 1] * sum[b + 1];
    }
    return total((VecF)acc) - mins;
}

#define avx2_unpack_tq1_0 unpack_tq1_0
#define avx2_unpack_tq2_0 unpack_tq2_0
#include "blocks.inc"

const Kernels kernels_avx2 = {
    .name = "avx2", .ternary = avx2_ternary, .f32 = avx2_f32, .f16 = avx2_f16,
    .bf16 = avx2_bf16, .q8_0 = avx2_q8_0, .q4_0 = avx2_q4_0, .q6_k = avx2_q6_k,
    .tq1_0 = avx2_tq1_0, .tq2_0 = avx2_tq2_0,
    .rms_norm = avx2_rms_norm, .quantise_row = avx2_quantise_row,
    .quantise_block = avx2_quantise_block, .attend = avx2_attend, .glu = avx2_glu,
    .add = avx2_add, .store_half = avx2_store_half, .sum_exp = avx2_sum_exp, .read = avx2_read,
};
