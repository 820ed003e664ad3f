/* Portable C: the reference for every fast kernel, and what runs where nothing faster is known. */
#include "sterna.h"

#include "lines_scalar.h"

#include <math.h>

#define NAME(x) scalar_##x
#define VW 4
static inline __attribute__((always_inline)) void halves(const uint16_t *p, float *out)
{
    for (int i = 0; i < VW; i++) out[i] = half_to_float(p[i]);
}
#define load_half(p) ({ float h_[VW]; halves(p, h_); load(h_); })
#define store_half_vec(p, v) ({ VecF v_ = (v); for (int i_ = 0; i_ < VW; i_++) (p)[i_] = float_to_half(v_[i_]); })
#include "float_ops.inc"
#include "quantise.inc"
#include "attention.inc"
#include "adapter.inc"

#include "blocks.inc"
#include "float_products.inc"

/* Code of row r of a group at column k of our ternary packing: see ternary_pack_group. */
static inline int code_at(const uint8_t *group, int r, int k)
{
    return group[(size_t)(k / 16) * 64 + 4 * r + k % 4] >> (2 * (k % 16 / 4)) & 3;
}

static void scalar_ternary(const Matrix *m, int row0, int row1, const Act *a, float *out, int out_stride)
{
    for (int r = row0; r < row1; r++) {
        const uint8_t *group = m->data + (size_t)(r / ROW_GROUP) * ((size_t)m->cols * 4);
        for (int t = 0; t < a->tokens; t++) {
            int32_t dot = 0;
            for (int k = 0; k < m->cols; k++) {
                int q = a->row_q[(size_t)(t / a->lanes * a->lanes) * a->tile_width
                                 + (size_t)(k / 4 * a->lanes + t % a->lanes) * 4 + k % 4];
                dot += code_at(group, r % ROW_GROUP, k) * q;
            }
            float *to = out + (size_t)t * out_stride + r;
            float v = (float)(dot - a->row_sum[t]) * (a->row_scale[t] * m->scale[r]);
            *to = a->add ? *to + v : v;
        }
    }
}

const Kernels kernels_scalar = {
    .name = "scalar", .ternary = scalar_ternary,
    .f32 = scalar_f32, .f16 = scalar_f16, .bf16 = scalar_bf16, .blocks = {EACH_FORMAT(MULTIPLY_ENTRY)},
    .splits = {EACH_SPLIT(SPLIT_ENTRY)}, .screens = {EACH_SPLIT(SCREEN_ENTRY)},
    .rms_norm = scalar_rms_norm, .quantise_row = scalar_quantise_row,
    .quantise_block = scalar_quantise_block, .attend = scalar_attend, .glu = scalar_glu, .soft_cap = scalar_soft_cap, .side = scalar_side,
    .add = scalar_add, .store_half = scalar_store_half, .sum_exp = scalar_sum_exp, .read = scalar_read,
};

size_t attend_scratch(int value_width)
{
    return (size_t)(QUERY_ROWS + ROWS_AT_ONCE) * (size_t)(TILE + ((value_width + 15) & ~15) + 2);
}
