/* A mixture of experts: each token passes a few of many feed-forwards (Shazeer et al. 2017), chosen by the
 * softmax of a router's logits. Only the chosen ones' weights are read.
 *
 * What an expert works on are slots, one for each of its tokens. One token has its slots in the order of
 * the weights and shares its input. Of several tokens those of an expert lie together, from the start of a
 * tile on, so that its matrices pass over them as over any block of tokens. The weight of an expert goes
 * into the input of its down projection; sums are added in the order of the weights either way. */
#include "steps.h"

#include <math.h>
#include <string.h>

/* The experts of one token and their weights, greatest first. */
static void choose(const Experts *e, const Routed *r, int t)
{
    const float *x = e->logits + (size_t)t * e->count;
    int *chosen = r->chosen + (size_t)t * e->used;
    float *weight = r->weight + (size_t)t * e->used, most = x[0], all = 0, sum = 0;
    char taken[e->count]; /* the loader bounds them */
    memset(taken, 0, sizeof taken);
    for (int i = 1; i < e->count; i++) most = x[i] > most ? x[i] : most;
    for (int i = 0; i < e->count; i++) all += expf(x[i] - most);
    for (int k = 0; k < e->used; k++) {
        int best = -1;
        for (int i = 0; i < e->count; i++)
            if (!taken[i] && (best < 0 || x[i] > x[best])) best = i;
        taken[best] = 1;
        chosen[k] = best;
        weight[k] = expf(x[best] - most) / all;
        sum += weight[k];
    }
    for (int k = 0; k < e->used; k++) weight[k] *= e->scale / (e->normalise ? sum : 1);
}

/* Slots for all tokens, expert by expert. How many groups and units there are is kept with the step: a
 * thread that comes late still opens its phases with these numbers, when others are layers ahead. */
static void group(const Experts *e, Routed *r, int tokens)
{
    int pairs = tokens * e->used, unit = tokens > 1 ? TILE_TOKENS : 1, groups = 0, units = 0;
    if (tokens == 1) {
        for (int k = 0; k < e->used; k++) r->group[groups++] = (Group){r->chosen[k], k, 0};
    } else {
        memset(r->of, 0, (size_t)e->count * sizeof *r->of);
        for (int i = 0; i < pairs; i++) r->of[r->chosen[i]]++;
        for (int x = 0, slot = 0; x < e->count; x++) {
            int n = r->of[x];
            if (!n) continue;
            r->of[x] = groups;
            r->group[groups++] = (Group){x, slot, 0};
            slot += (n + unit - 1) / unit * unit;
        }
    }
    for (int i = 0; i < pairs; i++) {
        Group *g = &r->group[tokens == 1 ? i : r->of[r->chosen[i]]];
        int slot = g->first + g->tokens++;
        r->slot[i] = slot;
        r->token[slot] = i / e->used;
        r->share[slot] = r->weight[i];
    }
    for (int g = 0; g < groups; g++)
        for (int at = 0; at < r->group[g].tokens; at += unit) r->unit[units++] = (Unit){g, at};
    e->counts->groups = groups;
    e->counts->units = units;
}

static void route(Program *p, const Experts *e, int index)
{
    int begin, end;
    if (p->tokens > 1) {
        pool_open(p->pool, index, p->tokens, 8);
        while (pool_take(p->pool, index, &begin, &end))
            for (int t = begin; t < end; t++) choose(e, &p->routed, t);
        pool_close(p->pool, index);
    }
    pool_open(p->pool, index, 1, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        if (p->tokens == 1) choose(e, &p->routed, 0);
        group(e, &p->routed, p->tokens);
    }
    pool_close(p->pool, index);
}

static Act of_group(const Program *p, const Group *g, int width, int index)
{
    return act_view(p, &p->routed.act, g->first, g->tokens, width, index);
}

/* The inputs of several tokens, beside those of the same expert. */
static void gather(Program *p, const Step *s, int index)
{
    const Experts *e = s->experts;
    const Routed *r = &p->routed;
    int begin, end, forms = e->gate[0]->form | e->up[0]->form;
    pool_open(p->pool, index, e->counts->units, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        const Group *g = &r->group[r->unit[begin].group];
        int t0 = r->unit[begin].at, t1 = t0 + TILE_TOKENS < g->tokens ? t0 + TILE_TOKENS : g->tokens;
        Act a = of_group(p, g, s->width, index);
        act_clear_tile(&a, t0, forms);
        for (int t = t0; t < t1; t++) {
            float *x = p->act.f + (size_t)r->token[g->first + t] * a.stride;
            if (forms & ACT_FLOAT) memcpy(a.f + (size_t)t * a.stride, x, (size_t)a.stride * sizeof *x);
            act_quantise(p->kernels, &a, t, x, forms);
        }
    }
    pool_close(p->pool, index);
}

/* Gate and up of every group. */
static void widen(Program *p, const Step *s, int index)
{
    const Experts *e = s->experts;
    const Routed *r = &p->routed;
    int begin, end, chunk = rows_at_once(e->gate[0], p->tokens), chunks = (e->width + chunk - 1) / chunk;
    pool_open(p->pool, index, e->counts->groups * 2 * chunks, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        const Group *g = &r->group[begin / (2 * chunks)];
        int up = begin / chunks % 2, row = begin % chunks * chunk, last = row + chunk < e->width ? row + chunk : e->width;
        Act a = p->tokens == 1 ? act_view(p, &p->act, 0, 1, s->width, index) : of_group(p, g, s->width, index);
        const Matrix *m = (up ? e->up : e->gate)[g->expert];
        m->multiply(m, row, last, &a, (up ? r->up : r->gate) + (size_t)g->first * e->width, e->width);
    }
    pool_close(p->pool, index);
}

/* act(gate) * up, times the weight of the expert, as inputs of the down projections. */
static void turn(Program *p, const Step *s, int index)
{
    const Experts *e = s->experts;
    const Routed *r = &p->routed;
    int begin, end, forms = e->down[0]->form;
    pool_open(p->pool, index, e->counts->units, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        const Group *g = &r->group[r->unit[begin].group];
        Act a = of_group(p, g, e->width, index);
        int t0 = r->unit[begin].at, t1 = t0 + a.lanes < g->tokens ? t0 + a.lanes : g->tokens;
        act_clear_tile(&a, t0, forms);
        for (int t = t0; t < t1; t++) {
            size_t slot = (size_t)(g->first + t), at = slot * e->width;
            float *f = forms & ACT_FLOAT ? a.f + (size_t)t * a.stride : r->row + (size_t)index * r->row_floats;
            p->kernels->glu(r->gate + at, r->up + at, e->width, e->kind_of_gate, f);
            for (int i = 0; i < e->width; i++) f[i] *= r->share[slot];
            memset(f + e->width, 0, (size_t)(a.stride - e->width) * sizeof *f);
            act_quantise(p->kernels, &a, t, f, forms);
        }
    }
    pool_close(p->pool, index);
}

/* One token: all its experts onto some rows of the output. */
static void narrow_one(Program *p, const Step *s, int index)
{
    const Experts *e = s->experts;
    int begin, end, chunk = rows_at_once(e->down[0], 1);
    pool_open(p->pool, index, (s->width + chunk - 1) / chunk, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int row = begin * chunk, last = row + chunk < s->width ? row + chunk : s->width;
        for (int k = 0; k < e->used; k++) {
            const Group *g = &p->routed.group[k];
            const Matrix *m = e->down[g->expert];
            Act a = of_group(p, g, e->width, index);
            a.add = 1;
            m->multiply(m, row, last, &a, s->out[0], s->width);
        }
    }
    pool_close(p->pool, index);
}

/* Several tokens: each group's outputs to its slots, then the slots of each token to it. */
static void narrow(Program *p, const Step *s, int index)
{
    const Experts *e = s->experts;
    const Routed *r = &p->routed;
    int begin, end, chunk = rows_at_once(e->down[0], p->tokens), chunks = (s->width + chunk - 1) / chunk;
    pool_open(p->pool, index, e->counts->groups * chunks, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        const Group *g = &r->group[begin / chunks];
        int row = begin % chunks * chunk, last = row + chunk < s->width ? row + chunk : s->width;
        const Matrix *m = e->down[g->expert];
        Act a = of_group(p, g, e->width, index);
        m->multiply(m, row, last, &a, r->out + (size_t)g->first * s->width, s->width);
    }
    pool_close(p->pool, index);
    pool_open(p->pool, index, p->tokens, 4);
    while (pool_take(p->pool, index, &begin, &end))
        for (int t = begin; t < end; t++)
            for (int k = 0; k < e->used; k++) {
                size_t slot = (size_t)r->slot[(size_t)t * e->used + k];
                p->kernels->add(s->out[0] + (size_t)t * s->width, r->out + slot * s->width, s->width);
            }
    pool_close(p->pool, index);
}

void step_experts(Program *p, const Step *s, int index)
{
    route(p, s->experts, index);
    if (p->tokens > 1) gather(p, s, index);
    widen(p, s, index);
    if (s->experts->squares) observe_experts(p, s, index);
    turn(p, s, index);
    (p->tokens == 1 ? narrow_one : narrow)(p, s, index);
}

int expert_slots(int tokens, int count, int used)
{
    int pairs = tokens * used, most = count < pairs ? count : pairs; /* groups, each rounded up to a tile */
    return pairs + most * (TILE_TOKENS - 1);
}
