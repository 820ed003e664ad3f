/* The steps. Every function is run by all threads and shares its work out by phases of the pool. What a
 * phase is (tokens, widths, chunks) follows from the program alone, so all threads agree on it. */
#include "program.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

static void embed(Program *p, const Step *s, int index)
{
    const Matrix *m = s->matrix[0];
    int begin, end;
    pool_open(p->pool, index, p->tokens, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        float *out = s->out[0] + (size_t)begin * s->width;
        dequantise(m->type, m->data + (size_t)p->ids[begin] * m->row_bytes, m->cols, out);
        if (s->scale != 1)
            for (int i = 0; i < s->width; i++) out[i] *= s->scale;
    }
    pool_close(p->pool, index);
}

/* The input buffers as a step with inputs of `width` values sees them. */
static Act input(const Program *p, const Step *s, int width, int index)
{
    Act a = p->act;
    a.tokens = s->last_only ? p->tokens - p->logits_from : p->tokens;
    a.width = width;
    a.lanes = a.tokens > 1 ? TILE_TOKENS : 1;
    a.tile_width = (width + TRIT_COLUMNS - 1) / TRIT_COLUMNS * TRIT_COLUMNS;
    a.stride = (a.tile_width + 63) & ~63;
    a.panel += (size_t)index * p->panel_bytes;
    a.sums = (int32_t *)(a.panel + PANEL_BYTES);
    return a;
}

/* Norm of one token, in every form that the next products want. */
static void norm_token(const Program *p, const Step *s, Act *a, int t)
{
    int lane = t % a->lanes, tile = t - lane, blocks = a->stride / BLOCK, spans = a->stride / SPAN;
    float *f = a->f + (size_t)t * a->stride;
    p->kernels->rms_norm(s->in + (size_t)(t + p->tokens - a->tokens) * s->width, s->weight, s->width, s->eps, f);
    memset(f + s->width, 0, (size_t)(a->stride - s->width) * sizeof *f);
    if (s->forms & ACT_ROW)
        p->kernels->quantise_row(f, s->width, a->lanes, a->row_q + (size_t)tile * a->tile_width + 4 * lane,
                                 a->row_scale + t, a->row_sum + t);
    if (s->forms & ACT_BLOCK)
        p->kernels->quantise_block(f, a->stride, a->lanes, a->block_q + (size_t)tile * a->stride + 4 * lane,
                                   a->block_scale + (size_t)tile * blocks + lane,
                                   a->block_sum + (size_t)tile * spans + lane);
}

/* Norms, a tile of tokens at a time. */
static void norm(Program *p, const Step *s, int index)
{
    int begin, end;
    Act a = input(p, s, s->width, index);
    pool_open(p->pool, index, (a.tokens + a.lanes - 1) / a.lanes, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int t0 = begin * a.lanes, t1 = t0 + a.lanes < a.tokens ? t0 + a.lanes : a.tokens;
        if (s->forms & ACT_ROW && (t1 - t0 < a.lanes || a.tile_width > s->width)) /* what is past the values */
            memset(a.row_q + (size_t)t0 * a.tile_width, 0, (size_t)a.lanes * (size_t)a.tile_width);
        if (s->forms & ACT_BLOCK && t1 - t0 < a.lanes) { /* lanes without a token */
            memset(a.block_q + (size_t)t0 * a.stride, 0, (size_t)a.lanes * (size_t)a.stride);
            memset(a.block_scale + (size_t)t0 * (a.stride / BLOCK), 0, (size_t)a.lanes * (a.stride / BLOCK) * sizeof(float));
            memset(a.block_sum + (size_t)t0 * (a.stride / SPAN), 0, (size_t)a.lanes * (a.stride / SPAN) * sizeof(int32_t));
        }
        for (int t = t0; t < t1; t++) norm_token(p, s, &a, t);
    }
    pool_close(p->pool, index);
}

/* Rows of one output that a thread takes at once: some 32 kB of weights for one token. */
static int rows_at_once(const Matrix *m, int tokens)
{
    size_t bytes = m->row_bytes;
    size_t rows = 32768 / (bytes ? bytes : 1) & ~(size_t)31;
    if (tokens > 1) return 64;
    return rows < 32 ? 32 : rows > 256 ? 256 : (int)rows;
}

static void linear_rows(const Program *p, const Step *s, const Act *a, int i, int begin, int end)
{
    const Matrix *m = s->matrix[i];
    int width = s->out_width[i];
    m->multiply(m, begin, end, a, s->out[i], width);
    if (s->bias[i])
        for (int t = 0; t < a->tokens; t++)
            p->kernels->add(s->out[i] + (size_t)t * width + begin, s->bias[i] + begin, end - begin);
}

/* The value that `keep` of the `n` values reach or exceed. */
static float reached(const float *x, int n, int keep)
{
    float best[KEEP_MAX]; /* a heap, the least on top */
    int held = 0;
    for (int i = 0; i < n; i++) {
        int at;
        if (held < keep) {
            for (at = held++; at > 0 && best[(at - 1) / 2] > x[i]; at = (at - 1) / 2) best[at] = best[(at - 1) / 2];
        } else if (x[i] > best[0]) {
            at = 0;
            for (int c = 1; c < held; c = 2 * at + 1) {
                if (c + 1 < held && best[c + 1] < best[c]) c++;
                if (best[c] >= x[i]) break;
                best[at] = best[c];
                at = c;
            }
        } else {
            continue;
        }
        best[at] = x[i];
    }
    return held < keep ? -INFINITY : best[0];
}

static void list_groups(Program *p, int groups)
{
    float least = reached(p->low, groups, p->keep);
    p->listed = 0;
    for (int g = 0; g < groups; g++)
        if (!(p->high[g] < least)) p->list[p->listed++] = g;
    p->screened += groups;
    p->exact += p->listed;
}

/* One token by a split matrix: estimates for all rows, exact values where one of the greatest may be. */
static void screen(Program *p, const Step *s, int index)
{
    const Matrix *m = s->matrix[0];
    int begin, end, rows = m->rows, groups = (rows + ROW_GROUP - 1) / ROW_GROUP;
    Act a = input(p, s, m->cols, index);
    pool_open(p->pool, index, groups, 4);
    while (pool_take(p->pool, index, &begin, &end)) {
        int row1 = end * ROW_GROUP < rows ? end * ROW_GROUP : rows;
        p->kernels->screen(m, begin * ROW_GROUP, row1, &a, s->out[0], p->low + begin, p->high + begin);
    }
    pool_close(p->pool, index);
    pool_open(p->pool, index, 1, 1);
    while (pool_take(p->pool, index, &begin, &end)) list_groups(p, groups);
    pool_close(p->pool, index);
    pool_open(p->pool, index, p->listed, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int row0 = p->list[begin] * ROW_GROUP, row1 = row0 + ROW_GROUP < rows ? row0 + ROW_GROUP : rows;
        m->multiply(m, row0, row1, &a, s->out[0], s->out_width[0]);
    }
    pool_close(p->pool, index);
}

static void linear(Program *p, const Step *s, int index)
{
    if (s->matrix[0]->type == TYPE_SPLIT && p->tokens - p->logits_from == 1 && p->keep) {
        screen(p, s, index);
        return;
    }
    int begin, end, chunk = 1 << 30, total = 0, offset[MAX_OUTPUTS + 1] = {0};
    Act a = input(p, s, s->matrix[0]->cols, index);
    a.add = s->add;
    for (int i = 0; i < s->outputs; i++) {
        int rows = rows_at_once(s->matrix[i], a.tokens);
        if (rows < chunk) chunk = rows;
    }
    for (int i = 0; i < s->outputs; i++) {
        total += (s->matrix[i]->rows + chunk - 1) / chunk;
        offset[i + 1] = total;
    }
    pool_open(p->pool, index, total, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int i = 0;
        while (begin >= offset[i + 1]) i++;
        int row = (begin - offset[i]) * chunk, rows = s->matrix[i]->rows;
        linear_rows(p, s, &a, i, row, row + chunk < rows ? row + chunk : rows);
    }
    pool_close(p->pool, index);
}

static void rotate(const Step *s, float *x, int heads, int width, int position)
{
    int half = s->rope_width / 2;
    float c[half], sn[half];
    for (int i = 0; i < half; i++) {
        float angle = (float)position * s->inverse[i];
        c[i] = cosf(angle) * s->rope_scale;
        sn[i] = sinf(angle) * s->rope_scale;
    }
    for (int h = 0; h < heads; h++, x += width)
        for (int i = 0; i < half; i++) {
            int a = s->neox ? i : 2 * i, b = s->neox ? i + half : 2 * i + 1;
            float u = x[a], v = x[b];
            x[a] = u * c[i] - v * sn[i];
            x[b] = u * sn[i] + v * c[i];
        }
}

/* Turn queries and keys by their position, and put keys and values into the cache. */
static void rope(Program *p, const Step *s, int index)
{
    int begin, end, q_width = s->q_heads * s->k->width, k_width = s->k->heads * s->k->width;
    int v_width = s->v->heads * s->v->width;
    pool_open(p->pool, index, p->tokens, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        float *k = s->out[1] + (size_t)begin * k_width;
        int position = p->first + begin;
        rotate(s, s->out[0] + (size_t)begin * q_width, s->q_heads, s->k->width, position);
        rotate(s, k, s->k->heads, s->k->width, position);
        cache_keep(p->kernels, s->k, k, position);
        cache_keep(p->kernels, s->v, s->out[2] + (size_t)begin * v_width, position);
        /* Before this phase can be over: so every thread sees it, and stops at the same step. */
        if (*p->cancel) atomic_store_explicit(&p->last_step, (int)(s - p->steps), memory_order_relaxed);
    }
    pool_close(p->pool, index);
}

/* One token over many positions: heads are too few to keep all threads busy, so the positions are
 * cut in parts as well, and the partial results joined. */
static void attend_parts(Program *p, const Step *s, const Attention *job, int parts, int index)
{
    int begin, end, heads = s->k->heads, group = s->q_heads / heads, width = s->v->width;
    int positions = p->first + 1, each = ((positions + parts - 1) / parts + 63) & ~63;
    size_t size = (size_t)group * (width + 2);
    pool_open(p->pool, index, heads * parts, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int p0 = begin % parts * each, p1 = p0 + each < positions ? p0 + each : positions;
        p->kernels->attend(job, begin / parts, 0, 1, p0, p1 > p0 ? p1 : p0,
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

static void attend(Program *p, const Step *s, int index)
{
    int begin, end, heads = s->k->heads, group = s->q_heads / heads;
    Attention job = {
        .q = s->in, .out = s->out[0], .q_stride = s->q_heads * s->k->width,
        .out_stride = s->q_heads * s->v->width, .tokens = p->tokens, .first = p->first,
        .q_heads = s->q_heads, .scale = s->scale, .k = s->k, .v = s->v,
    };
    if (p->tokens == 1) {
        int threads = pool_threads(p->pool), parts = p->first / 256 + 1;
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
        p->kernels->attend(&job, begin % heads, t0, t1, 0, p->first + t1,
                           p->scratch + index * p->scratch_floats, NULL);
    }
    pool_close(p->pool, index);
}

static void glu(Program *p, const Step *s, int index)
{
    int begin, end, cut = p->tokens == 1 ? 4 : 1, width = (s->width / cut + 15) & ~15;
    pool_open(p->pool, index, p->tokens * cut, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int from = begin % cut * width, to = from + width < s->width ? from + width : s->width;
        size_t at = (size_t)(begin / cut) * s->width + from;
        if (to > from) p->kernels->glu(s->in + at, s->out[1] + at, to - from, s->squared, s->out[0] + at);
    }
    pool_close(p->pool, index);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run(void *context, Pool *pool, int index)
{
    static void (*const kinds[])(Program *, const Step *, int) = {
        [STEP_EMBED] = embed, [STEP_NORM] = norm, [STEP_LINEAR] = linear,
        [STEP_ROPE] = rope, [STEP_ATTEND] = attend, [STEP_GLU] = glu,
    };
    Program *p = context;
    double before = index == 0 ? now() : 0;
    (void)pool;
    for (int i = 0; i < p->count && i <= atomic_load_explicit(&p->last_step, memory_order_relaxed); i++) {
        const Step *s = &p->steps[i];
        if (s->last_only && p->logits_from >= p->tokens) break;
        kinds[s->kind](p, s, index);
        if (index == 0) {
            double after = now();
            p->seconds[s->kind] += after - before;
            before = after;
        }
    }
}

int program_phases(int steps) { return 2 * steps + 2; } /* attention takes two, the output matrix three */

int program_run(Program *p, const int32_t *ids, int tokens, int first, int logits_from)
{
    p->ids = ids;
    p->tokens = tokens;
    p->first = first;
    p->logits_from = logits_from;
    atomic_store_explicit(&p->last_step, p->count, memory_order_relaxed);
    pool_run(p->pool, run, p);
    return atomic_load_explicit(&p->last_step, memory_order_relaxed) < p->count;
}
