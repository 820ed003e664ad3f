/* The scale, or scale and minimum, of a block with the least weighted squared error.
 *
 * For given codes the best scale is a matter of least squares; for a given scale the best codes are the
 * nearest. Trial scales all around the greatest value are followed to their codes, and the best of them is
 * polished by going back and forth. (The idea is that of the reference quantisers of ggml.) */
#ifndef STERNA_FIT_H
#define STERNA_FIT_H

#include "levels.h"

typedef struct {
    V scale, least; /* value = scale * level + least */
} Line;

INLINE V x_of(const Group *g, int slice, int i) { return slice_of(&g->x[i], slice); }
INLINE V w_of(const Group *g, int slice, int i) { return slice_of(&g->w[i], slice); }

INLINE V error_of(const Group *g, int slice, const Levels *l, Line a)
{
    V error = all(0), inv = inverse(a.scale), shift = a.least * inv;
    for (int i = 0; i < g->n; i++) {
        V x = x_of(g, slice, i), off = a.scale * nearest(l, x * inv - shift) + a.least - x;
        error += w_of(g, slice, i) * off * off;
    }
    return error;
}

/* The value that lies farthest from zero. */
INLINE V peak_of(const Group *g, int slice)
{
    V peak = all(0);
    for (int i = 0; i < g->n; i++) {
        V x = x_of(g, slice, i);
        peak = pick(size_of(x) > size_of(peak), x, peak);
    }
    return peak;
}

/* One trial: codes by `inv`, and the sums that tell the scale behind them and what it is worth. */
INLINE void try_scale(const Group *g, int slice, const Levels *l, V inv, V *best_xl, V *best_ll)
{
    V xl = all(0), ll = all(0);
    for (int i = 0; i < g->n; i++) {
        V x = x_of(g, slice, i), level = nearest(l, x * inv), weighted = w_of(g, slice, i) * level;
        xl += weighted * x;
        ll += weighted * level;
    }
    M better = (ll > all(0)) & (xl * xl * *best_ll > *best_xl * *best_xl * ll);
    *best_xl = pick(better, xl, *best_xl);
    *best_ll = pick(better, ll, *best_ll);
}

/* Scale with no minimum. `trials` on either side: the peak at the lowest level, or at the highest. */
INLINE V fit_scale(const Group *g, int slice, const Levels *l, int trials)
{
    V per_peak = inverse(peak_of(g, slice)), xl = all(0), ll = all(1);
    float from_low = -l->low - 0.9f, from_high = l->high - 0.9f, wide = 1.7f + 0.12f * l->high;
    if (l->high == 1) { /* ternary: most values are small beside the peak */
        from_low = from_high = 1;
        wide = 2;
    }
    for (int t = 0; t < trials; t++) {
        float more = wide * (float)t / (float)(trials > 1 ? trials - 1 : 1);
        try_scale(g, slice, l, per_peak * all(-(from_low + more)), &xl, &ll);
        try_scale(g, slice, l, per_peak * all(from_high + more), &xl, &ll);
    }
    for (int polish = 0; polish < 2; polish++) try_scale(g, slice, l, inverse(xl / ll), &xl, &ll);
    return xl / ll;
}

/* Sums over a block that do not depend on its codes, and its ends. */
typedef struct {
    V w, x, xx, low, high;
} Sums;

INLINE Sums sums_of(const Group *g, int slice)
{
    Sums sum = {all(0), all(0), all(0), x_of(g, slice, 0), x_of(g, slice, 0)};
    for (int i = 0; i < g->n; i++) {
        V x = x_of(g, slice, i), w = w_of(g, slice, i), wx = w * x;
        sum.low = least(sum.low, x);
        sum.high = most(sum.high, x);
        sum.w += w;
        sum.x += wx;
        sum.xx += wx * x;
    }
    return sum;
}

/* Best line through given codes. `at_most_zero`: the minimum may not be above zero. */
INLINE Line through(const Sums *sum, V l, V xl, V ll, int at_most_zero)
{
    V det = sum->w * ll - l * l;
    M fine = det > all(1e-6f) * sum->w * ll;
    V inv = 1.0f / pick(fine, det, all(1));
    Line a = {(sum->w * xl - sum->x * l) * inv, (ll * sum->x - l * xl) * inv};
    if (at_most_zero) {
        M above = a.least > all(0);
        a.least = pick(above, all(0), a.least);
        a.scale = pick(above, xl / pick(ll > all(0), ll, all(1)), a.scale);
    }
    a.scale = pick(fine, a.scale, all(0));
    a.least = pick(fine, a.least, all(0));
    return a;
}

INLINE void try_line(const Group *g, int slice, const Levels *levels, const Sums *sum, Line from, int at_most_zero,
                     Line *best, V *best_error)
{
    V l = all(0), xl = all(0), ll = all(0), inv = inverse(from.scale), shift = from.least * inv;
    for (int i = 0; i < g->n; i++) {
        V x = x_of(g, slice, i), level = nearest(levels, x * inv - shift), wl = w_of(g, slice, i) * level;
        l += wl;
        xl += wl * x;
        ll += wl * level;
    }
    Line a = through(sum, l, xl, ll, at_most_zero);
    V error = sum->xx - 2.0f * (a.scale * xl + a.least * sum->x) + a.scale * a.scale * ll
        + 2.0f * a.scale * a.least * l + a.least * a.least * sum->w;
    M better = (error < *best_error) & (a.scale > all(0));
    *best_error = pick(better, error, *best_error);
    best->scale = pick(better, a.scale, best->scale);
    best->least = pick(better, a.least, best->least);
}

/* Scale and minimum: trials from a step less than all levels to one more. */
INLINE Line fit_line(const Group *g, int slice, const Levels *levels, int at_most_zero, int trials)
{
    Sums sum = sums_of(g, slice);
    V low = at_most_zero ? least(sum.low, all(0)) : sum.low, range = sum.high - low;
    Line best = {range * (1.0f / levels->high), low};
    V error = error_of(g, slice, levels, best);
    for (int t = 0; t < trials; t++) {
        float top = levels->high - 1 + 2 * (float)t / (float)(trials > 1 ? trials - 1 : 1);
        Line from = {range * (1.0f / top), low};
        try_line(g, slice, levels, &sum, from, at_most_zero, &best, &error);
    }
    for (int polish = 0; polish < 2; polish++) try_line(g, slice, levels, &sum, best, at_most_zero, &best, &error);
    return best;
}

#endif
