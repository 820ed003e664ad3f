/* AVX2 with FMA and F16C (x86-64-v3: Haswell, Zen and later). */
#include "sterna.h"

#include "lines_avx2.h"

#include <math.h>

#define NAME(x) avx2_##x
#define VW 8
#define load_half(p) ((VecF)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p))))
#define load_int8(p) ((VecF)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p)))))
#define store_half_vec(p, v) \
    _mm_storeu_si128((__m128i *)(p), _mm256_cvtps_ph((__m256)(v), _MM_FROUND_TO_NEAREST_INT))
#include "float_ops.inc"
#include "quantise.inc"
#include "attention.inc"
#include "adapter.inc"
#include "blocks.inc"
#include "float_products.inc"
#include "ternary_avx2.inc"

const Kernels kernels_avx2 = {
    .name = "avx2", .ternary = avx2_ternary,
    .f32 = avx2_f32, .f16 = avx2_f16, .bf16 = avx2_bf16, .blocks = {EACH_FORMAT(MULTIPLY_ENTRY)},
    .splits = {EACH_SPLIT(SPLIT_ENTRY)}, .screens = {EACH_SPLIT(SCREEN_ENTRY)},
    .rms_norm = avx2_rms_norm, .quantise_row = avx2_quantise_row,
    .quantise_block = avx2_quantise_block, .attend = avx2_attend, .glu = avx2_glu, .soft_cap = avx2_soft_cap, .side = avx2_side,
    .add = avx2_add, .store_half = avx2_store_half, .sum_exp = avx2_sum_exp, .read = avx2_read,
};
