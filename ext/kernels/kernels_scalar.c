/* Portable C: the reference for every fast kernel, and what runs where nothing faster is known. */
#include "sterna.h"

#include <math.h>
#include <string.h>

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

static uint16_t read16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static void scale32(Unpacked *u, int block, float d, float offset)
{
    for (int i = 2 * block; i < 2 * block + 2; i++) {
        u->scale[i] = d;
        u->min[i] = d * offset;
    }
}

void unpack_q8_0(const uint8_t *data, int n, Unpacked *u)
{
    for (int b = 0; b < n / 32; b++, data += 34) {
        for (int i = 0; i < 32; i++) u->code[32 * b + i] = data[2 + i] ^ 0x80; /* int8 + 128 */
        scale32(u, b, half_to_float(read16(data)), 128);
    }
}

void unpack_q4_0(const uint8_t *data, int n, Unpacked *u)
{
    for (int b = 0; b < n / 32; b++, data += 18) {
        for (int i = 0; i < 16; i++) {
            u->code[32 * b + i] = data[2 + i] & 15;
            u->code[32 * b + 16 + i] = data[2 + i] >> 4;
        }
        scale32(u, b, half_to_float(read16(data)), 8);
    }
}

void unpack_q6_k(const uint8_t *data, int n, Unpacked *u)
{
    for (int b = 0; b < n / 256; b++, data += 210) {
        float d = half_to_float(read16(data + 208));
        for (int h = 0; h < 2; h++) {
            const uint8_t *ql = data + 64 * h, *qh = data + 128 + 32 * h;
            uint8_t *c = u->code + 256 * b + 128 * h;
            for (int l = 0; l < 32; l++) {
                c[l] = (uint8_t)((ql[l] & 15) | (qh[l] & 3) << 4);
                c[32 + l] = (uint8_t)((ql[32 + l] & 15) | (qh[l] >> 2 & 3) << 4);
                c[64 + l] = (uint8_t)(ql[l] >> 4 | (qh[l] >> 4 & 3) << 4);
                c[96 + l] = (uint8_t)(ql[32 + l] >> 4 | qh[l] >> 6 << 4);
            }
        }
        for (int i = 0; i < 16; i++) {
            u->scale[16 * b + i] = d * (float)(int8_t)data[192 + i];
            u->min[16 * b + i] = 32 * u->scale[16 * b + i];
        }
    }
}

static float scalar_dot(const Unpacked *u, const int8_t *q, const float *scale, const float *sum, int n)
{
    float s = 0;
    for (int b = 0; b < n / BLOCK; b++) {
        int32_t dot = 0;
        for (int i = 0; i < BLOCK; i++) dot += u->code[BLOCK * b + i] * q[BLOCK * b + i];
        s += u->scale[b] * scale[b] * (float)dot - u->min[b] * sum[b];
    }
    return s;
}

#define scalar_unpack_q8_0 unpack_q8_0
#define scalar_unpack_q4_0 unpack_q4_0
#define scalar_unpack_q6_k unpack_q6_k
#define scalar_unpack_tq1_0 unpack_tq1_0
#define scalar_unpack_tq2_0 unpack_tq2_0
#include "blocks.inc"

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
                int q = a->tokens == 1
                    ? a->row_q[k]
                    : a->row_q[(size_t)(t / TILE_TOKENS) * TILE_TOKENS * a->tile_width
                               + ((size_t)(k / 4) * TILE_TOKENS + t % TILE_TOKENS) * 4 + k % 4];
                dot += code_at(group, r % ROW_GROUP, k) * q;
            }
            out[(size_t)t * out_stride + r] = (float)(dot - a->row_sum[t]) * (a->row_scale[t] * m->scale[r]);
        }
    }
}

const Kernels kernels_scalar = {
    .name = "scalar", .ternary = scalar_ternary, .f32 = scalar_f32, .f16 = scalar_f16,
    .bf16 = scalar_bf16, .q8_0 = scalar_q8_0, .q4_0 = scalar_q4_0, .q6_k = scalar_q6_k,
    .tq1_0 = scalar_tq1_0, .tq2_0 = scalar_tq2_0,
    .rms_norm = scalar_rms_norm, .quantise_row = scalar_quantise_row,
    .quantise_block = scalar_quantise_block, .attend = scalar_attend, .glu = scalar_glu,
    .add = scalar_add, .store_half = scalar_store_half, .sum_exp = scalar_sum_exp, .read = scalar_read,
};

size_t attend_scratch(int key_width, int value_width, int q_heads_per_kv)
{
    (void)key_width;
    (void)q_heads_per_kv;
    return (size_t)(ROWS_MAX + 4) * (size_t)(TILE + value_width + 2);
}
