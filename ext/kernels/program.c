/* The steps, but for those of steps.h, and the run through them all. */
#include "steps.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The row of an id: read from the file, if there is one, for memory that is mapped brings its neighbours. */
enum { ROW_MOST = 1 << 16 };
static const uint8_t *table_row(const Step *s, int32_t id, uint8_t *room)
{
    const Matrix *m = s->matrix[0];
    size_t at = (size_t)id * m->row_bytes, got = 0;
    while (s->file >= 0 && m->row_bytes <= ROW_MOST && got < m->row_bytes) {
        ssize_t n = pread(s->file, room + got, m->row_bytes - got, (off_t)(s->offset + (int64_t)(at + got)));
        if (n <= 0) break;
        got += (size_t)n;
    }
    return got == m->row_bytes ? room : m->data + at;
}

static void embed(Program *p, const Step *s, int index)
{
    const Matrix *m = s->matrix[0];
    int begin, end;
    uint8_t room[ROW_MOST];
    pool_open(p->pool, index, p->tokens, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        float *out = s->out[0] + (size_t)begin * s->width;
        dequantise(m->type, table_row(s, p->ids[begin], room), m->cols, out);
        if (s->side) side_embed(p, s->side, p->ids[begin], out, s->width);
        if (s->scale != 1)
            for (int i = 0; i < s->width; i++) out[i] *= s->scale;
    }
    pool_close(p->pool, index);
}

/* The input buffers as a step with inputs of `width` values sees them. */
static Act input(const Program *p, const Step *s, int width, int index)
{
    int tokens = s->last_only ? p->tokens - p->logits_from : p->tokens;
    return act_view(p, &p->act, 0, tokens, width, index);
}

Act act_view(const Program *p, const Act *all, int first, int tokens, int width, int index)
{
    Act a = *all;
    a.tokens = tokens;
    a.width = width;
    a.lanes = tokens > 1 ? TILE_TOKENS : 1;
    a.tile_width = (width + TRIT_COLUMNS - 1) / TRIT_COLUMNS * TRIT_COLUMNS;
    a.stride = (a.tile_width + 63) & ~63;
    a.f += (size_t)first * a.stride;
    a.row_q += (size_t)first * a.tile_width;
    a.row_scale += first;
    a.row_sum += first;
    a.block_q += (size_t)first * a.stride;
    a.block_scale += (size_t)first * (a.stride / BLOCK);
    a.block_sum += (size_t)first * (a.stride / SPAN);
    a.panel += (size_t)index * p->panel_bytes;
    a.sums = (int32_t *)(a.panel + PANEL_BYTES);
    return a;
}

void act_clear_tile(const Act *a, int t0, int forms)
{
    int tokens = a->tokens - t0 < a->lanes ? a->tokens - t0 : a->lanes;
    if (forms & ACT_ROW && (tokens < a->lanes || a->tile_width > a->width)) /* what is past the values */
        memset(a->row_q + (size_t)t0 * a->tile_width, 0, (size_t)a->lanes * (size_t)a->tile_width);
    if (forms & ACT_BLOCK && tokens < a->lanes) { /* lanes without a token */
        memset(a->block_q + (size_t)t0 * a->stride, 0, (size_t)a->lanes * (size_t)a->stride);
        memset(a->block_scale + (size_t)t0 * (a->stride / BLOCK), 0, (size_t)a->lanes * (a->stride / BLOCK) * sizeof(float));
        memset(a->block_sum + (size_t)t0 * (a->stride / SPAN), 0, (size_t)a->lanes * (a->stride / SPAN) * sizeof(int32_t));
    }
}

void act_quantise(const Kernels *kernels, const Act *a, int t, float *f, int forms)
{
    int lane = t % a->lanes, tile = t - lane, blocks = a->stride / BLOCK, spans = a->stride / SPAN;
    if (forms & ACT_ROW)
        kernels->quantise_row(f, a->width, a->lanes, a->row_q + (size_t)tile * a->tile_width + 4 * lane,
                              a->row_scale + t, a->row_sum + t);
    if (forms & ACT_BLOCK)
        kernels->quantise_block(f, a->stride, a->lanes, a->block_q + (size_t)tile * a->stride + 4 * lane,
                                a->block_scale + (size_t)tile * blocks + lane, a->block_sum + (size_t)tile * spans + lane);
}

/* Norm of one token, in every form that the next products want. */
static void norm_token(const Program *p, const Step *s, Act *a, int t)
{
    size_t row = (size_t)(t + p->tokens - a->tokens);
    float *f = a->f + (size_t)t * a->stride, *x = s->in + row * s->width;
    memset(f + s->width, 0, (size_t)(a->stride - s->width) * sizeof *f);
    if (s->branch) {
        p->kernels->rms_norm(s->branch + row * s->width, s->branch_weight, s->width, s->eps, f);
        p->kernels->add(x, f, s->width);
    }
    p->kernels->rms_norm(x, s->weight, s->width, s->eps, f);
    float factor = s->scale;
    if (s->gate) factor /= 1 + expf(-s->gate[row]);
    if (factor != 1)
        for (int i = 0; i < s->width; i++) f[i] *= factor;
    act_quantise(p->kernels, a, t, f, s->forms);
}

/* Norms, a tile of tokens at a time. */
static void norm(Program *p, const Step *s, int index)
{
    int begin, end;
    Act a = input(p, s, s->width, index);
    pool_open(p->pool, index, (a.tokens + a.lanes - 1) / a.lanes, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int t0 = begin * a.lanes, t1 = t0 + a.lanes < a.tokens ? t0 + a.lanes : a.tokens;
        act_clear_tile(&a, t0, s->forms);
        for (int t = t0; t < t1; t++) norm_token(p, s, &a, t);
    }
    pool_close(p->pool, index);
}

int rows_at_once(const Matrix *m, int tokens)
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
    if (s->side) side_up(p, s->side, i, a->tokens, begin, end, s->out[i], width);
}

/* The rows of all outputs of a step, one after the other, in chunks. */
typedef struct {
    int chunk, total, offset[MAX_OUTPUTS + 1];
} Chunks;

static Chunks chunks_of(const Step *s, int tokens)
{
    Chunks c = {.chunk = 1 << 30};
    for (int i = 0; i < s->outputs; i++) {
        int rows = rows_at_once(s->matrix[i], tokens);
        if (rows < c.chunk) c.chunk = rows;
    }
    for (int i = 0; i < s->outputs; i++) {
        c.total += (s->matrix[i]->rows + c.chunk - 1) / c.chunk;
        c.offset[i + 1] = c.total;
    }
    return c;
}

/* The output that chunk `at` is of, and its first row. */
static int place(const Chunks *c, int at, int *row)
{
    int i = 0;
    while (at >= c->offset[i + 1]) i++;
    *row = (at - c->offset[i]) * c->chunk;
    return i;
}

/* Memory is idle while one thread normalises and the others wait: let them fetch what they multiply next. */
static void look_ahead(Program *p, const Step *from, int index)
{
    enum { AHEAD = 96 << 10 }; /* bytes, of the second-level cache */
    const Step *s = from, *end = p->steps + p->count;
    while (s < end && s->kind != STEP_LINEAR) s++;
    if (s == end || p->tokens > 1) return;
    Chunks c = chunks_of(s, 1);
    int row, i = place(&c, (int)((int64_t)c.total * index / pool_threads(p->pool)), &row);
    const Matrix *m = s->matrix[i];
    size_t at = (size_t)row * m->row_bytes, size = (size_t)m->rows * m->row_bytes - at;
    pool_ahead(p->pool, index, m->data + at, size < AHEAD ? size : AHEAD);
}

static void linear(Program *p, const Step *s, int index)
{
    look_ahead(p, s + 1, index);
    if (choice_by_estimates(p, s)) {
        step_choose(p, s, index);
        return;
    }
    int begin, end, row;
    Act a = input(p, s, s->matrix[0]->cols, index);
    a.add = s->add;
    if (s->side) side_down(p, s->side, &a, index);
    else if (s->squares) observe_linear(p, s, &a, index);
    Chunks c = chunks_of(s, a.tokens);
    pool_open(p->pool, index, c.total, 1);
    while (pool_take_some(p->pool, index, &begin, &end))
        for (; begin < end; begin++) {
            int i = place(&c, begin, &row), rows = s->matrix[i]->rows;
            linear_rows(p, s, &a, i, row, row + c.chunk < rows ? row + c.chunk : rows);
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
        if (to > from) p->kernels->glu(s->in + at, s->out[1] + at, to - from, s->kind_of_gate, s->out[0] + at);
    }
    pool_close(p->pool, index);
}

/* Soft cap on the logits. */
static void cap(Program *p, const Step *s, int index)
{
    int begin, end, tokens = p->tokens - p->logits_from, total = tokens * s->width;
    pool_open(p->pool, index, total, 4096);
    while (pool_take(p->pool, index, &begin, &end)) p->kernels->soft_cap(s->out[0] + begin, end - begin, s->scale);
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
        [STEP_ROPE] = step_rope, [STEP_ATTEND] = step_attend, [STEP_GLU] = glu, [STEP_CAP] = cap,
        [STEP_EXPERTS] = step_experts,
    };
    Program *p = context;
    double before = index == 0 ? now() : 0;
    (void)pool;
    look_ahead(p, p->steps, index);
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

int program_phases(const Program *p)
{
    int phases = 5; /* the output matrix takes seven; attention, and products with adapters or watched, two */
    for (int i = 0; i < p->count; i++) phases += p->steps[i].kind == STEP_EXPERTS ? 8 : 2;
    return phases;
}

int program_run(Program *p, const int32_t *ids, int tokens, int first, int logits_from)
{
    p->ids = ids;
    p->tokens = tokens;
    p->first = first;
    p->logits_from = logits_from;
    atomic_store_explicit(&p->last_step, p->count, memory_order_relaxed);
    pool_run(p->pool, run, p);
    if (atomic_load_explicit(&p->last_step, memory_order_relaxed) < p->count) return 1;
    for (int i = 0; i < p->count; i++)
        choice_learn(p, p->steps + i);
    return 0;
}
