/* AVX2 with VNNI in 256 bits (Alder Lake, Zen 5 clients and later); included by kernels_avx512vl.c too,
 * which is the same in the encoding of AVX-512VL. */
#include "sterna.h"

#ifdef VL
#define NAME(x) avx512vl_##x
#define SET kernels_avx512vl
#define SET_NAME "avx512vl"
#define DOT_INSTRUCTION _mm256_dpbusd_epi32
#else
#define NAME(x) avxvnni_##x
#define SET kernels_avxvnni
#define SET_NAME "avxvnni"
#define DOT_INSTRUCTION _mm256_dpbusd_avx_epi32
#endif
#include "lines_avx2.h"

#include <math.h>

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
#include "ternary.inc"

const Kernels SET = {
    .name = SET_NAME, .ternary = NAME(ternary),
    .f32 = NAME(f32), .f16 = NAME(f16), .bf16 = NAME(bf16), .blocks = {EACH_FORMAT(MULTIPLY_ENTRY)},
    .splits = {EACH_SPLIT(SPLIT_ENTRY)}, .screens = {EACH_SPLIT(SCREEN_ENTRY)},
    .rms_norm = NAME(rms_norm), .quantise_row = NAME(quantise_row),
    .quantise_block = NAME(quantise_block), .attend = NAME(attend), .glu = NAME(glu), .soft_cap = NAME(soft_cap), .side = NAME(side),
    .add = NAME(add), .store_half = NAME(store_half), .sum_exp = NAME(sum_exp), .read = NAME(read),
};
