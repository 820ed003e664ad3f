/* AVX-512 with VNNI (Ice Lake, Zen 4 and later); included by kernels_avx512vbmi.c too. */
#include "sterna.h"

#include "lines_avx512.h"

#include <math.h>

#ifdef VBMI
#define NAME(x) avx512vbmi_##x
#define SET kernels_avx512vbmi
#define SET_NAME "avx512vbmi"
#else
#define NAME(x) avx512_##x
#define SET kernels_avx512
#define SET_NAME "avx512"
#endif
#define VW 16
#define load_half(p) ((VecF)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p))))
#define load_int8(p) ((VecF)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p)))))
#define store_half_vec(p, v) \
    _mm256_storeu_si256((__m256i *)(p), _mm512_cvtps_ph((__m512)(v), _MM_FROUND_TO_NEAREST_INT))
#include "float_ops.inc"
#include "quantise.inc"
#include "attention.inc"
#include "adapter.inc"
#include "blocks.inc"
#include "float_products.inc"
#include "ternary_avx512.inc"
#ifdef VBMI
#include "trits_avx512.inc"
#endif

const Kernels SET = {
    .name = SET_NAME, .ternary = avx512_ternary,
#ifdef VBMI
    .trits = avx512_trits,
#endif
    .f32 = NAME(f32), .f16 = NAME(f16), .bf16 = NAME(bf16), .blocks = {EACH_FORMAT(MULTIPLY_ENTRY)},
    .splits = {EACH_SPLIT(SPLIT_ENTRY)}, .screens = {EACH_SPLIT(SCREEN_ENTRY)},
    .rms_norm = NAME(rms_norm), .quantise_row = NAME(quantise_row),
    .quantise_block = NAME(quantise_block), .attend = NAME(attend), .glu = NAME(glu), .soft_cap = NAME(soft_cap), .side = NAME(side),
    .add = NAME(add), .store_half = NAME(store_half), .sum_exp = NAME(sum_exp), .read = NAME(read),
};
