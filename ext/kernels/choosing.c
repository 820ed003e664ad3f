/* Choosing one token: the greatest logits, without reading all of the output matrix (screens.inc has the estimates). */
#include "screening.h"
#include "steps.h"

#include <math.h>

/* The `keep` greatest of what is offered: a heap, the least on top. */
typedef struct {
    int keep, held;
    float value[KEEP_MAX];
} Greatest;

static void offer(Greatest *of, float x)
{
    float *v = of->value;
    int at;
    if (of->held < of->keep) {
        for (at = of->held++; at > 0 && v[(at - 1) / 2] > x; at = (at - 1) / 2) v[at] = v[(at - 1) / 2];
    } else if (x > v[0]) {
        at = 0;
        for (int c = 1; c < of->held; c = 2 * at + 1) {
            if (c + 1 < of->held && v[c + 1] < v[c]) c++;
            if (v[c] >= x) break;
            v[at] = v[c];
            at = c;
        }
    } else {
        return;
    }
    v[at] = x;
}

/* What all `keep` of them reach or exceed. */
static float reached(const Greatest *of) { return of->held < of->keep ? -INFINITY : of->value[0]; }

static int groups_of(const Matrix *m) { return (m->rows + ROW_GROUP - 1) / ROW_GROUP; }

static int rows_before(const Matrix *m, int group) { return group * ROW_GROUP < m->rows ? group * ROW_GROUP : m->rows; }

/* List the groups whose estimates are among the greatest. */
static void list_likely(Program *p, int groups)
{
    Greatest of = {.keep = p->keep};
    for (int g = 0; g < groups; g++) offer(&of, p->best[g]);
    const float least = reached(&of);
    p->listed[LIKELY] = 0;
    for (int g = 0; g < groups; g++)
        if (!(p->best[g] < least)) p->list[p->listed[LIKELY]++] = g;
}

/* What the exact values of the groups listed reach: no lesser one is among the greatest of all rows. They are not listed
 * again. */
static float reached_exactly(Program *p, const Step *s)
{
    Greatest of = {.keep = p->keep};
    for (int i = 0; i < p->listed[LIKELY]; i++) {
        const int g = p->list[i];
        for (int r = rows_before(s->matrix[0], g); r < rows_before(s->matrix[0], g + 1); r++) offer(&of, s->out[0][r]);
        p->most[g] = -INFINITY;
    }
    return reached(&of);
}

/* List the groups of rows that may hold one of the greatest logits. (Each list has a count of its own: a thread that
 * comes late still reads that of one when the others are at the next.) */
static void list_groups(Program *p, const Step *s, int list, int index)
{
    int begin, end, groups = groups_of(s->matrix[0]);
    pool_open(p->pool, index, 1, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        if (list == LIKELY) {
            list_likely(p, groups);
            continue;
        }
        if (list == POSSIBLE) p->least = reached_exactly(p, s);
        p->listed[list] = 0;
        for (int g = 0; g < groups; g++)
            if (!(p->most[g] < p->least)) p->list[p->listed[list]++] = g;
    }
    pool_close(p->pool, index);
}

/* Estimate a group of rows by the upper bits or, `closer`, with the middle ones; `next` is the group after it. */
static void estimate(Program *p, const Step *s, const Act *a, const Screening *of, int group, int next, int closer)
{
    const Matrix *m = s->matrix[0]->sketch ? s->matrix[0]->sketch : s->matrix[0];
    kernels_screen(p->kernels, m->type)(m, group, next, a, of, closer, s->out[0], p->best, p->most);
}

/* Estimates of all rows. */
static void look(Program *p, const Step *s, const Act *a, const Screening *of, int closer, int index)
{
    int begin, end, groups = groups_of(s->matrix[0]);
    pool_open(p->pool, index, groups, 1);
    while (pool_take_some(p->pool, index, &begin, &end))
        for (int g = begin; g < end; g++) estimate(p, s, a, of, g, g + 1 < groups ? g + 1 : g, closer);
    pool_close(p->pool, index);
}

/* Closer estimates of the groups listed. */
static void look_closer(Program *p, const Step *s, const Act *a, const Screening *of, int list, int index)
{
    int begin, end, last = p->listed[list] - 1;
    pool_open(p->pool, index, p->listed[list], 1);
    while (pool_take_some(p->pool, index, &begin, &end))
        for (int i = begin; i < end; i++) estimate(p, s, a, of, p->list[i], p->list[i < last ? i + 1 : i], 1);
    pool_close(p->pool, index);
}

/* The exact values of the groups listed. */
static void read_whole(Program *p, const Step *s, const Act *a, int list, int index)
{
    const Matrix *m = s->matrix[0];
    int begin, end;
    pool_open(p->pool, index, p->listed[list], 1);
    while (pool_take(p->pool, index, &begin, &end))
        m->multiply(m, rows_before(m, p->list[begin]), rows_before(m, p->list[begin] + 1), a, s->out[0], s->out_width[0]);
    pool_close(p->pool, index);
}

void step_choose(Program *p, const Step *s, int index)
{
    const Matrix *m = s->matrix[0];
    const int closer = !m->sketch, at_once = closer && p->screen_at_once > 0;
    Act a = act_view(p, &p->act, 0, 1, m->cols, index);
    Screening *of = (Screening *)a.panel;
    screening_prepare(format_of((m->sketch ? m->sketch : m)->type - TYPE_SPLIT), &a, m->cols, of);
    look(p, s, &a, of, at_once, index);
    list_groups(p, s, LIKELY, index);
    read_whole(p, s, &a, LIKELY, index);
    list_groups(p, s, POSSIBLE, index);
    if (closer && !at_once) {
        look_closer(p, s, &a, of, POSSIBLE, index);
        list_groups(p, s, STILL_POSSIBLE, index);
    }
    read_whole(p, s, &a, closer && !at_once ? STILL_POSSIBLE : POSSIBLE, index);
}

/* Not where the likely groups alone would be most of them. */
static int has_choice(const Program *p, const Step *s)
{
    return s->kind == STEP_LINEAR && (s->matrix[0]->type >= TYPE_SPLIT || s->matrix[0]->sketch)
        && p->tokens - p->logits_from == 1 && p->keep && 4 * p->keep < groups_of(s->matrix[0]) && !s->side;
}

int choice_by_estimates(const Program *p, const Step *s)
{
    return has_choice(p, s) && !(s->matrix[0]->sketch && p->screen_at_once > 0);
}

void choice_learn(Program *p, const Step *s)
{
    enum { TRY_AGAIN = 32 }; /* tokens */
    if (!has_choice(p, s)) return;
    const int groups = groups_of(s->matrix[0]), sketch = s->matrix[0]->sketch != NULL, at_once = p->screen_at_once > 0;
    const int again = p->listed[POSSIBLE], whole = p->listed[LIKELY] + p->listed[sketch || at_once ? POSSIBLE : STILL_POSSIBLE];
    if (at_once) p->screen_at_once--;
    else if (sketch ? 4 * whole > 3 * groups : 3 * again > groups) p->screen_at_once = TRY_AGAIN;
    p->chosen += groups;
    p->looked += at_once && sketch ? 0 : groups;
    p->closer += sketch ? 0 : at_once ? groups : again;
    p->exact += at_once && sketch ? groups : whole;
}
