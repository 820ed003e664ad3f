/* The quantisers, compiled once for each instruction set; QUANTISE names the result. */
#include "quantise.h"

#include <math.h>

#include "fit.h"

/* How errors weigh where no importance matrix says it. */
enum { WEIGH_EVENLY, WEIGH_EVENLY_AND_SIZE, WEIGH_SIZE, WEIGH_SQUARE };

static int weighing(const Format *f)
{
    switch (f->scaling) {
    case SCALE_INT_MIN: return WEIGH_EVENLY_AND_SIZE;
    case SCALE_NIBBLES: return WEIGH_SIZE;
    case SCALE_INT: return f->bits == 2 ? WEIGH_EVENLY : WEIGH_SQUARE; /* not the ternary ones */
    default: return f->table == TABLE_NL ? WEIGH_SQUARE : WEIGH_EVENLY;
    }
}

/* Weights of one block's errors, about 1 on average: sums stay far from the ends of float32. */
static void weigh(const Format *f, const float *x, const float *importance, float *w)
{
    float squares = 0;
    int manner = weighing(f);
    for (int i = 0; i < f->values; i++) squares += x[i] * x[i];
    float per_mean = squares > 1e-30f ? (float)f->values / squares : 0; /* 1 / mean square */
    for (int i = 0; i < f->values; i++) {
        float square = x[i] * x[i] * per_mean;
        if (importance)
            w[i] = importance[i] * sqrtf(1 + square);
        else
            w[i] = manner == WEIGH_EVENLY ? 1
                : manner == WEIGH_EVENLY_AND_SIZE ? 1 + sqrtf(square)
                : manner == WEIGH_SIZE ? sqrtf(square)
                : square;
    }
}

static float in_half(float f) { return half_to_float(float_to_half(f)); }

static V in_halves(V v)
{
    for (int i = 0; i < VW; i++) v[i] = in_half(v[i]);
    return v;
}

/* Codes of all lanes, `n` each, side by side. */
static void codes_of(const Group *g, const Levels *l, const Row *scale, const Row *least, uint8_t *code)
{
    for (int slice = 0; slice < SLICES; slice++) {
        V inv = inverse(slice_of(scale, slice)), shift = slice_of(least, slice) * inv;
        for (int i = 0; i < g->n; i++) {
            M level = __builtin_convertvector(nearest(l, x_of(g, slice, i) * inv - shift), M);
            for (int lane = 0; lane < VW; lane++)
                code[(slice * VW + lane) * g->n + i] =
                    l->count ? l->code[level[lane] + 128] : (uint8_t)(level[lane] - (int)l->low);
        }
    }
}

#include "plain.inc"
#include "nested.inc"

/* The next blocks, at most 16 lanes of them, as a group. */
static void gather(const Format *f, int spans, int blocks, const float *x, const float *importance, int64_t cols,
                   int64_t at, Group *g)
{
    float w[256];
    g->n = f->values / spans;
    memset(g->x, 0, (size_t)g->n * sizeof(Row));
    memset(g->w, 0, (size_t)g->n * sizeof(Row));
    for (int b = 0; b < blocks; b++, x += f->values, at += f->values) {
        weigh(f, x, importance ? importance + at % cols : NULL, w);
        for (int s = 0; s < spans; s++)
            for (int i = 0; i < g->n; i++) {
                g->x[i].lane[b * spans + s] = x[s * g->n + i];
                g->w[i].lane[b * spans + s] = w[s * g->n + i];
            }
    }
}

static int holds_strange(const float *x, int64_t n)
{
    int strange = 0;
    for (int64_t i = 0; i < n; i++) strange |= !(fabsf(x[i]) <= 65504.0f);
    return strange;
}

int QUANTISE(int type, const float *x, int64_t rows, int64_t cols, const float *importance, uint8_t *out)
{
    const Format *f = format_of(type);
    if (!f || f->scaling == SCALE_ODD) return QUANTISE_UNKNOWN;
    int ternary = type == TYPE_TQ1_0 || type == TYPE_TQ2_0;
    int nested = f->scaling >= SCALE_INT && !ternary, spans = nested ? f->values / f->span : 1;
    int at_once = LANES / spans;
    int64_t blocks = rows * cols / f->values;
    Levels levels = levels_of(f);
    Group g;
    Parts parts[LANES];
    if (holds_strange(x, rows * cols)) return QUANTISE_VALUES;
    for (int64_t b = 0; b < blocks; b += at_once) {
        int here = blocks - b < at_once ? (int)(blocks - b) : at_once;
        gather(f, spans, here, x + b * f->values, importance, cols, b * f->values, &g);
        if (!nested)
            plain(f, &levels, &g, parts);
        else if (f->scaling == SCALE_INT)
            nested_scales(f, &levels, &g, spans, parts);
        else
            nested_lines(f, &levels, &g, spans, parts);
        for (int i = 0; i < here; i++, out += f->bytes) put_together(f, parts + i, out);
    }
    return QUANTISE_FINE;
}
