/* ARM64 with dot products (ARMv8.2: Cortex-A76, Apple M1, Graviton 2 and later); included by
 * kernels_neon_i8mm.c too. */
#include "sterna.h"

#include "lines_neon.h"

#include <math.h>

#ifdef UNSIGNED_DOT
#define NAME(x) neon_i8mm_##x
#define SET kernels_neon_i8mm
#define SET_NAME "neon-i8mm"
#else
#define NAME(x) neon_##x
#define SET kernels_neon
#define SET_NAME "neon"
#endif
#define VW 4
#define load_half(p) ((VecF)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))))
#define store_half_vec(p, v) vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)(v))))
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
