/* Every kernel set of this machine against the scalar one, without Python: for processors that are only
 * there as an emulation (`make test-arm`), and quick anywhere. Exit status 0 when all agree. */
#include "blocks.h"
#include "screening.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 25, COLS = 768, ROWS = 40, STRIDE = 832 };

static uint64_t state = 1;
static int failures, checks;

static uint32_t draw(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

static float normal(void) /* near enough: a sum of uniforms */
{
    float s = 0;
    for (int i = 0; i < 6; i++) s += (float)draw() * 0x1p-32f;
    return (s - 3) * 1.41421356f;
}

static void *room(size_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, 64, (bytes + 127) / 64 * 64)) exit(2);
    memset(p, 0, (bytes + 127) / 64 * 64);
    return p;
}

static void verdict(const char *set, const char *what, int kind, int tokens, double off, double limit)
{
    checks++;
    if (off <= limit) return;
    failures++;
    printf("%s: %s, input %d, %d tokens: off by %g\n", set, what, kind, tokens, off);
}

/* Largest difference, beside the largest value. */
static double difference(const float *a, const float *b, int n)
{
    double off = 0, size = 1e-30;
    for (int i = 0; i < n; i++) {
        if (isnan(a[i]) != isnan(b[i])) return INFINITY;
        if (isnan(a[i]) || a[i] == b[i]) continue;
        off = fmax(off, fabs((double)a[i] - b[i]));
        size = fmax(size, fabs(b[i]));
    }
    return off / size;
}

static void fill(float *x, int n, int kind) /* normal, spiky, zero, tiny, huge */
{
    for (int i = 0; i < n; i++) x[i] = kind == 2 ? 0 : normal() * (kind == 3 ? 1e-30f : kind == 4 ? 1e30f : 1);
    if (kind == 1) x[3] = 1e4f;
}

static Act prepare(const Kernels *k, const float *x, int tokens)
{
    Act a = {.tokens = tokens, .width = COLS, .lanes = tokens > 1 ? TILE_TOKENS : 1};
    int rows = TOKENS + TILE_TOKENS;
    a.tile_width = (COLS + TRIT_COLUMNS - 1) / TRIT_COLUMNS * TRIT_COLUMNS;
    a.stride = STRIDE;
    a.f = room((size_t)rows * STRIDE * 4);
    a.row_q = room((size_t)rows * STRIDE);
    a.row_scale = room((size_t)rows * 4);
    a.row_sum = room((size_t)rows * 4);
    a.block_q = room((size_t)rows * STRIDE);
    a.block_scale = room((size_t)rows * STRIDE / BLOCK * 4);
    a.block_sum = room((size_t)rows * STRIDE / SPAN * 4);
    a.panel = room(PANEL_BYTES + (size_t)rows * PANEL_ROWS * 4);
    a.sums = (int32_t *)(a.panel + PANEL_BYTES);
    for (int t = 0; t < tokens; t++) {
        int lane = t % a.lanes, tile = t - lane;
        memcpy(a.f + (size_t)t * STRIDE, x + (size_t)t * COLS, COLS * 4);
        k->quantise_row(a.f + (size_t)t * STRIDE, COLS, a.lanes, a.row_q + tile * a.tile_width + 4 * lane,
                        a.row_scale + t, a.row_sum + t);
        k->quantise_block(a.f + (size_t)t * STRIDE, STRIDE, a.lanes, a.block_q + tile * STRIDE + 4 * lane,
                          a.block_scale + tile * (STRIDE / BLOCK) + lane, a.block_sum + tile * (STRIDE / SPAN) + lane);
    }
    return a;
}

static void release(Act *a)
{
    void *all[] = {a->f, a->row_q, a->row_scale, a->row_sum, a->block_q, a->block_scale, a->block_sum, a->panel};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void multiply(const Kernels *k, const Matrix *m, const float *x, int tokens, float *out)
{
    Act a = prepare(k, x, tokens);
    Matrix mine = *m;
    int form;
    kernels_matmul(k, m->type, &form)(&mine, 0, ROWS, &a, out, ROWS);
    release(&a);
}

/* The matrix by the scalar set, then by this one. `exact`: integers all the way. */
static void check_matrix(const Kernels *set, const char *what, const Matrix *m, int exact)
{
    static float x[TOKENS * COLS], want[TOKENS * ROWS], got[TOKENS * ROWS];
    static const int counts[] = {1, 2, 3, 12, 13, TOKENS};
    for (int kind = 0; kind < 5; kind++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            fill(x, TOKENS * COLS, kind);
            multiply(&kernels_scalar, m, x, counts[i], want);
            multiply(set, m, x, counts[i], got);
            verdict(set->name, what, kind, counts[i], difference(got, want, counts[i] * ROWS), exact ? 0 : 3e-5);
        }
}

/* Any codes and scales, with moderate factors, wherever they stand. */
static void draw_blocks(const Format *format, uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)draw();
    for (size_t b = 0; b + (size_t)format->bytes <= bytes; b += (size_t)format->bytes) {
        uint8_t *block = data + b;
        size_t at[] = {0, 2, 80, 82, 108, 208, 52, 64};
        if (format->scaling == SCALE_E8M0) block[0] = (uint8_t)(120 + draw() % 8);
        else
            for (size_t i = 0; i < sizeof at / sizeof *at; i++)
                if (at[i] + 2 <= (size_t)format->bytes) block[at[i] + 1] = 0x20 | (draw() & 0x83);
    }
}

static void check_formats(const Kernels *set)
{
    for (int f = 0; f < FORMATS; f++) {
        const Format *format = &formats[f];
        size_t row = type_row_bytes(format->type, COLS), group = blocks_group_bytes(format, COLS);
        uint8_t *data = room(row * ROWS), *packed = room(group * 3);
        draw_blocks(format, data, row * ROWS);
        for (int g = 0; g < 3; g++) {
            int rows = ROWS - 16 * g < 16 ? ROWS - 16 * g : 16;
            blocks_pack_group(format, data + row * 16 * (size_t)g, row, rows, COLS, packed + group * (size_t)g);
        }
        Matrix m = {.type = TYPE_PACKED + format->type, .rows = ROWS, .cols = COLS, .data = packed};
        check_matrix(set, format->name, &m, 0);
        free(data);
        free(packed);
    }
}

/* Estimates of all rows, and what no row of a group exceeds. */
static void screen(const Kernels *k, const Matrix *m, const Format *format, const float *x, int closer, float *out,
                   float *most)
{
    Act a = prepare(k, x, 1);
    float best[3];
    screening_prepare(format, &a, COLS, (Screening *)a.panel);
    for (int g = 0; g < 3; g++)
        kernels_screen(k, m->type)(m, g, g < 2 ? g + 1 : g, &a, (Screening *)a.panel, closer, out, best, most);
    release(&a);
}

static void check_splits(const Kernels *set)
{
    static float x[COLS], want[ROWS], got[ROWS], most[3], reached[3];
    for (int f = 0; f < FORMATS; f++) {
        const Format *format = &formats[f];
        if (!split_exists(format->type, COLS)) continue;
        size_t row = type_row_bytes(format->type, COLS), bytes[SPLIT_PARTS];
        uint8_t *data = room(row * ROWS), *part[SPLIT_PARTS];
        draw_blocks(format, data, row * ROWS);
        for (int i = 0; i < SPLIT_PARTS; i++) part[i] = room(3 * (bytes[i] = split_bytes(format, COLS, i)));
        for (int g = 0; g < 3; g++) {
            uint8_t *const at[] = {part[0] + bytes[0] * (size_t)g, part[1] + bytes[1] * (size_t)g, part[2] + bytes[2] * (size_t)g};
            split_pack_group(format, data + row * 16 * (size_t)g, row, ROWS - 16 * g < 16 ? ROWS - 16 * g : 16, COLS, at);
        }
        Matrix m = {.type = TYPE_SPLIT + format->type, .rows = ROWS, .cols = COLS, .data = part[0], .middle = part[1],
                    .lower = part[2]};
        check_matrix(set, "split", &m, 0);
        for (int kind = 0; kind < 2; kind++)
            for (int closer = 0; closer < 2; closer++) {
                fill(x, COLS, kind);
                screen(&kernels_scalar, &m, format, x, closer, want, most);
                screen(set, &m, format, x, closer, got, reached);
                verdict(set->name, "estimates", kind, closer, difference(got, want, ROWS), 3e-5);
                verdict(set->name, "margins", kind, closer, difference(reached, most, 3), 1e-3);
            }
        for (int i = 0; i < SPLIT_PARTS; i++) free(part[i]);
        free(data);
    }
}

static void check_ternary(const Kernels *set)
{
    size_t row = type_row_bytes(TYPE_TQ2_0, COLS), group = ternary_group_bytes(TYPE_TERNARY, COLS);
    uint8_t *data = room(row * ROWS), *packed = room(group * 3);
    float *scale = room(48 * 4);
    for (size_t i = 0; i < row * ROWS; i++) {
        data[i] = 0;
        for (int p = 0; p < 4; p++) data[i] |= (uint8_t)(draw() % 3 << 2 * p);
    }
    for (size_t b = 64; b < row * ROWS; b += 66) data[b] = 0, data[b + 1] = 0x38;
    for (int g = 0; g < 3; g++)
        ternary_pack_group(TYPE_TERNARY, TYPE_TQ2_0, data + row * 16 * (size_t)g, row, ROWS - 16 * g < 16 ? ROWS - 16 * g : 16,
                           COLS, packed + group * (size_t)g, scale + 16 * g);
    Matrix m = {.type = TYPE_TERNARY, .rows = ROWS, .cols = COLS, .data = packed, .scale = scale};
    check_matrix(set, "ternary", &m, 1);
    free(data);
    free(packed);
    free(scale);
}

static void check_floats(const Kernels *set)
{
    static float w[ROWS * COLS];
    static uint16_t half[ROWS * COLS];
    fill(w, ROWS * COLS, 0);
    for (int i = 0; i < ROWS * COLS; i++) half[i] = float_to_half(w[i]);
    Matrix m = {.type = TYPE_F32, .rows = ROWS, .cols = COLS, .data = (uint8_t *)w, .row_bytes = COLS * 4};
    check_matrix(set, "f32", &m, 0);
    m = (Matrix){.type = TYPE_F16, .rows = ROWS, .cols = COLS, .data = (uint8_t *)half, .row_bytes = COLS * 2};
    check_matrix(set, "f16", &m, 0);
    for (int i = 0; i < ROWS * COLS; i++) memcpy(half + i, (char *)(w + i) + 2, 2);
    m.type = TYPE_BF16;
    check_matrix(set, "bf16", &m, 0);
}

static void check_small(const Kernels *set)
{
    const Kernels *s = &kernels_scalar;
    static float x[1000], y[1000], want[1000], got[1000];
    static uint16_t h1[1000], h2[1000];
    for (int n = 1; n < 1000; n += 37) {
        fill(x, n, n % 5);
        fill(y, n, 0);
        s->rms_norm(x, y, n, 1e-5f, want);
        set->rms_norm(x, y, n, 1e-5f, got);
        verdict(set->name, "rms_norm", n % 5, n, difference(got, want, n), 1e-6);
        for (int kind = GATE_SILU; kind <= GATE_GELU; kind++) {
            s->glu(x, y, n, kind, want);
            set->glu(x, y, n, kind, got);
            verdict(set->name, "glu", kind, n, difference(got, want, n), 1e-6);
        }
        memcpy(want, x, (size_t)n * 4);
        memcpy(got, x, (size_t)n * 4);
        s->soft_cap(want, n, 3);
        set->soft_cap(got, n, 3);
        verdict(set->name, "soft_cap", 0, n, difference(got, want, n), 1e-6);
        fill(x, n, 0);
        s->store_half(x, n, h1);
        set->store_half(x, n, h2);
        verdict(set->name, "store_half", 0, n, memcmp(h1, h2, (size_t)n * 2) != 0, 0);
        verdict(set->name, "sum_exp", 0, n, fabs(set->sum_exp(x, n, 1) / s->sum_exp(x, n, 1) - 1), 1e-6);
    }
}

static void attention_by(const Kernels *k, int type, int width, int window, const float *q, const float *kv, float *out)
{
    enum { HEADS = 6, KV = 2, POSITIONS = 70 };
    int capacity = window ? ATTEND_TILE : 100; /* a ring, or all */
    Cache keys = {.type = type, .keys = 1, .heads = KV, .capacity = capacity, .width = width}, values = keys;
    values.keys = 0;
    Cache *both[] = {&keys, &values};
    for (int i = 0; i < 2; i++) {
        both[i]->data = room(cache_data_bytes(both[i]));
        both[i]->scale = room(cache_scale_bytes(both[i]) + 64);
        for (int p = 0; p < POSITIONS; p++) cache_keep(&kernels_scalar, both[i], kv + (i * POSITIONS + p) * KV * width, p);
    }
    float *scratch = room(attend_scratch(width) * 4);
    Attention job = {.q = q, .out = out, .q_stride = HEADS * width, .out_stride = HEADS * width, .tokens = 9,
                     .first = POSITIONS - 9, .q_heads = HEADS, .scale = 0.1f, .cap = window ? 2 : 0, .window = window,
                     .k = &keys, .v = &values};
    for (int h = 0; h < KV; h++) k->attend(&job, h, 0, 9, 0, POSITIONS, scratch, NULL);
    for (int i = 0; i < 2; i++) {
        free(both[i]->data);
        free(both[i]->scale);
    }
    free(scratch);
}

static void check_attention(const Kernels *set)
{
    static float q[9 * 6 * 128], kv[2 * 70 * 2 * 128], want[9 * 6 * 128], got[9 * 6 * 128];
    static const int widths[] = {8, 20, 64, 128};
    for (int type = KEEP_F32; type <= KEEP_Q8; type++)
        for (int i = 0; i < 8; i++) {
            int window = i < 4 ? 0 : 30, width = widths[i % 4];
            fill(q, 9 * 6 * 128, 0);
            fill(kv, 2 * 70 * 2 * 128, 0);
            attention_by(&kernels_scalar, type, width, window, q, kv, want);
            attention_by(set, type, width, window, q, kv, got);
            verdict(set->name, "attention", type, width, difference(got, want, 9 * 6 * width), 1e-5);
        }
}

static void check_side(const Kernels *set)
{
    enum { ROWS_UP = 48, RANKS = 11 };
    static float up[ROWS_UP * RANKS], mid[TOKENS * RANKS], want[TOKENS * ROWS_UP], got[TOKENS * ROWS_UP];
    static uint16_t half[ROWS_UP * RANKS];
    fill(up, ROWS_UP * RANKS, 0);
    fill(mid, TOKENS * RANKS, 0);
    for (int i = 0; i < ROWS_UP * RANKS; i++) half[i] = float_to_half(up[i]);
    for (int tokens = 1; tokens <= TOKENS; tokens += 3)
        for (int is_half = 0; is_half < 2; is_half++) {
            const void *b = is_half ? (const void *)half : up;
            fill(want, TOKENS * ROWS_UP, 0);
            memcpy(got, want, sizeof got);
            kernels_scalar.side(b, is_half, RANKS, mid, RANKS, tokens, 16, 43, want, ROWS_UP);
            set->side(b, is_half, RANKS, mid, RANKS, tokens, 16, 43, got, ROWS_UP);
            verdict(set->name, "side", is_half, tokens, difference(got, want, TOKENS * ROWS_UP), 1e-6);
        }
}

int main(void)
{
    const char *names[8];
    int n = kernels_available(names);
    for (int i = 0; i < n; i++) {
        const Kernels *set = kernels_select(names[i]);
        if (set == &kernels_scalar) continue;
        int before = failures;
        check_formats(set);
        check_splits(set);
        check_ternary(set);
        check_floats(set);
        check_small(set);
        check_attention(set);
        check_side(set);
        printf("%-10s %s\n", names[i], failures == before ? "agrees with the scalar set" : "DIFFERS");
    }
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0 || n < 2;
}
