/* Watching what goes into the products, for an importance matrix: squares are added up by column. */
#include "steps.h"

enum { COLUMNS = 64 }; /* that a thread takes at once */

static void add_squares(double *squares, const float *x, int n)
{
    for (int i = 0; i < n; i++) squares[i] += (double)x[i] * (double)x[i];
}

void observe_linear(Program *p, const Step *s, const Act *a, int index)
{
    int begin, end;
    pool_open(p->pool, index, (a->width + COLUMNS - 1) / COLUMNS, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int from = begin * COLUMNS, to = end * COLUMNS < a->width ? end * COLUMNS : a->width;
        for (int t = 0; t < a->tokens; t++)
            add_squares(s->squares + from, a->f + (size_t)t * a->stride + from, to - from);
    }
    pool_close(p->pool, index);
}

void observe_experts(Program *p, const Step *s, int index)
{
    const Experts *e = s->experts;
    const Routed *r = &p->routed;
    float *row = r->row + (size_t)index * r->row_floats;
    int begin, end;
    pool_open(p->pool, index, e->counts->groups, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        const Group *g = &r->group[begin]; /* all of an expert's tokens: nobody else adds to it */
        Act a = act_view(p, &p->act, 0, p->tokens, s->width, index);
        for (int t = 0; t < g->tokens; t++) {
            size_t slot = (size_t)(g->first + t), at = slot * e->width;
            add_squares(e->squares + (size_t)g->expert * s->width, a.f + (size_t)r->token[slot] * a.stride, s->width);
            p->kernels->glu(r->gate + at, r->up + at, e->width, e->kind_of_gate, row);
            add_squares(e->inner_squares + (size_t)g->expert * e->width, row, e->width);
        }
        e->seen[g->expert] += g->tokens;
    }
    pool_close(p->pool, index);
}
