/* The steps that know positions: rotary embedding with the KV cache, and attention over it. */
#include "steps.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Cosines and sines of the angles of a position. */
static void angles(const Program *p, const Step *s, int position, float *c, float *sn)
{
    const float *inverse = s->inverse[p->far];
    for (int i = 0; i < s->rope_width / 2; i++) {
        float angle = (float)position * inverse[i];
        c[i] = cosf(angle) * s->rope_scale;
        sn[i] = sinf(angle) * s->rope_scale;
    }
}

/* Turn pairs of values, which lie `apart`. */
static inline void turn(float *restrict x, const float *restrict c, const float *restrict sn, int half, const int step,
                        int apart)
{
    for (int i = 0; i < half; i++) {
        float *a = x + i * step, u = a[0], v = a[apart];
        a[0] = u * c[i] - v * sn[i];
        a[apart] = u * sn[i] + v * c[i];
    }
}

static void rotate(const Step *s, float *x, int heads, int width, const float *c, const float *sn)
{
    int half = s->rope_width / 2;
    for (int h = 0; h < heads; h++, x += width)
        if (s->neox) turn(x, c, sn, half, 1, half);
        else turn(x, c, sn, half, 2, 1);
}

static void norm_heads(const Program *p, const Step *s, const float *weight, float *x, int heads, int width)
{
    for (int h = 0; weight && h < heads; h++, x += width) p->kernels->rms_norm(x, weight, width, s->eps, x);
}

/* Turn queries and keys by their position, and put keys and values into the cache. */
void step_rope(Program *p, const Step *s, int index)
{
    int begin, end, q_width = s->q_heads * s->k->width, k_width = s->k->heads * s->k->width;
    int v_width = s->v->heads * s->v->width, half = s->rope_width / 2;
    float c[half + 1], sn[half + 1]; /* there are models without positions */
    pool_open(p->pool, index, p->tokens, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        float *q = s->out[0] + (size_t)begin * q_width, *k = s->out[1] + (size_t)begin * k_width;
        int position = p->first + begin;
        norm_heads(p, s, s->q_norm, q, s->q_heads, s->k->width);
        norm_heads(p, s, s->k_norm, k, s->k->heads, s->k->width);
        angles(p, s, position, c, sn);
        rotate(s, q, s->q_heads, s->k->width, c, sn);
        rotate(s, k, s->k->heads, s->k->width, c, sn);
        cache_keep(p->kernels, s->k, k, position);
        cache_keep(p->kernels, s->v, s->out[2] + (size_t)begin * v_width, position);
        /* Before this phase can be over: so every thread sees it, and stops at the same step. */
        if (*p->cancel) atomic_store_explicit(&p->last_step, (int)(s - p->steps), memory_order_relaxed);
    }
    pool_close(p->pool, index);
}

/* The first position that a query at `position` sees, down to the start of its tile. */
static int oldest(const Step *s, int position)
{
    int first = s->window && position >= s->window ? position - s->window + 1 : 0;
    return first / ATTEND_TILE * ATTEND_TILE;
}

/* One token over many positions: heads are too few to keep all threads busy, so the positions are
 * cut in parts as well, and the partial results joined. */
static void attend_parts(Program *p, const Step *s, const Attention *job, int parts, int index)
{
    int begin, end, heads = s->k->heads, group = s->q_heads / heads, width = s->v->width;
    int from = oldest(s, p->first), positions = p->first + 1 - from;
    int each = ((positions + parts - 1) / parts + ATTEND_TILE - 1) / ATTEND_TILE * ATTEND_TILE;
    size_t size = (size_t)group * (width + 2);
    pool_open(p->pool, index, heads * parts, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int p0 = begin % parts * each, p1 = p0 + each < positions ? p0 + each : positions;
        p->kernels->attend(job, begin / parts, 0, 1, from + p0, from + (p1 > p0 ? p1 : p0),
                           p->scratch + index * p->scratch_floats, p->partial + begin * size);
    }
    pool_close(p->pool, index);
    pool_open(p->pool, index, s->q_heads, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        const float *part = p->partial + (size_t)(begin / group * parts) * size + (size_t)(begin % group) * (width + 2);
        float *out = job->out + (size_t)begin * width, max = -INFINITY, sum = 0;
        for (int i = 0; i < parts; i++) max = fmaxf(max, part[i * size + width]);
        memset(out, 0, (size_t)width * sizeof *out);
        for (int i = 0; i < parts; i++) {
            float share = expf(part[i * size + width] - max);
            sum += share * part[i * size + width + 1];
            for (int j = 0; j < width; j++) out[j] += share * part[i * size + j];
        }
        for (int j = 0; j < width; j++) out[j] /= sum;
    }
    pool_close(p->pool, index);
}

void step_attend(Program *p, const Step *s, int index)
{
    int begin, end, heads = s->k->heads, group = s->q_heads / heads;
    Attention job = {
        .q = s->in, .out = s->out[0], .q_stride = s->q_heads * s->k->width,
        .out_stride = s->q_heads * s->v->width, .tokens = p->tokens, .first = p->first,
        .q_heads = s->q_heads, .scale = s->scale, .cap = s->cap, .window = s->window, .k = s->k, .v = s->v,
    };
    if (p->tokens == 1) {
        /* parts of some 256 positions, or of a tile where heads are few beside the threads */
        int threads = pool_threads(p->pool), seen = p->first - oldest(s, p->first), parts = seen / 256 + 1;
        int share = (4 * threads + heads - 1) / heads, tiles = seen / ATTEND_TILE + 1;
        if (parts < share) parts = share < tiles ? share : tiles;
        if (parts > MAX_PARTS) parts = MAX_PARTS;
        if (threads == 1) parts = 1;
        if (parts > 1) {
            attend_parts(p, s, &job, parts, index);
            return;
        }
    }
    int step = 32 / group > 0 ? 32 / group : 1, blocks = (p->tokens + step - 1) / step;
    pool_open(p->pool, index, heads * blocks, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int t0 = begin / heads * step, t1 = t0 + step < p->tokens ? t0 + step : p->tokens;
        p->kernels->attend(&job, begin % heads, t0, t1, oldest(s, p->first + t0), p->first + t1,
                           p->scratch + index * p->scratch_floats, NULL);
    }
    pool_close(p->pool, index);
}
