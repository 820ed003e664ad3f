/* Choosing one token: the greatest logits, without reading all of the output matrix (screens.inc has the estimates). */
#include "screening.h"
#include "steps.h"

#include <math.h>

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

/* List the groups of rows that may hold one of the greatest logits, after the first or the second look. (Each has a
 * count of its own: a thread that comes late still reads the first one when the others are at the second.) */
static void list_groups(Program *p, const Step *s, int look, int index)
{
    int begin, end, groups = (s->matrix[0]->rows + ROW_GROUP - 1) / ROW_GROUP;
    pool_open(p->pool, index, 1, 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        float least = reached(p->low, groups, p->keep);
        p->listed[look] = 0;
        for (int g = 0; g < groups; g++)
            if (!(p->high[g] < least)) p->list[p->listed[look]++] = g;
    }
    pool_close(p->pool, index);
}

/* Estimate `count` groups of rows from group `begin` on, by the upper bits or by the middle ones. */
static void estimate(Program *p, const Step *s, const Act *a, const Screening *of, int begin, int count, int closer)
{
    const Matrix *m = s->matrix[0]->sketch ? s->matrix[0]->sketch : s->matrix[0];
    int row0 = begin * ROW_GROUP, row1 = row0 + count * ROW_GROUP;
    kernels_screen(p->kernels, m->type)(m, row0, row1 < m->rows ? row1 : m->rows, a, of, closer, s->out[0],
                                        p->low + begin, p->high + begin);
}

/* Estimates of all rows by the upper bits of a matrix and, `closer`, at once by the middle ones. */
static void look(Program *p, const Step *s, const Act *a, const Screening *of, int closer, int index)
{
    int begin, end;
    pool_open(p->pool, index, (s->matrix[0]->rows + ROW_GROUP - 1) / ROW_GROUP, 4);
    while (pool_take(p->pool, index, &begin, &end)) {
        estimate(p, s, a, of, begin, end - begin, 0);
        if (closer) estimate(p, s, a, of, begin, end - begin, 1);
    }
    pool_close(p->pool, index);
}

void step_choose(Program *p, const Step *s, int index)
{
    const Matrix *m = s->matrix[0];
    const int closer = !m->sketch, at_once = closer && p->screen_at_once > 0;
    int begin, end;
    Act a = act_view(p, &p->act, 0, 1, m->cols, index);
    Screening *of = (Screening *)a.panel;
    screening_prepare(format_of((m->sketch ? m->sketch : m)->type - TYPE_SPLIT), &a, m->cols, of);
    look(p, s, &a, of, at_once, index);
    if (closer && !at_once) {
        list_groups(p, s, 0, index);
        pool_open(p->pool, index, p->listed[0], 1);
        while (pool_take(p->pool, index, &begin, &end)) estimate(p, s, &a, of, p->list[begin], 1, 1);
        pool_close(p->pool, index);
    }
    list_groups(p, s, 1, index);
    pool_open(p->pool, index, p->listed[1], 1);
    while (pool_take(p->pool, index, &begin, &end)) {
        int row0 = p->list[begin] * ROW_GROUP, row1 = row0 + ROW_GROUP < m->rows ? row0 + ROW_GROUP : m->rows;
        m->multiply(m, row0, row1, &a, s->out[0], s->out_width[0]);
    }
    pool_close(p->pool, index);
}

static int has_choice(const Program *p, const Step *s)
{
    return s->kind == STEP_LINEAR && (s->matrix[0]->type >= TYPE_SPLIT || s->matrix[0]->sketch)
        && p->tokens - p->logits_from == 1 && p->keep && !s->side;
}

int choice_by_estimates(const Program *p, const Step *s)
{
    return has_choice(p, s) && !(s->matrix[0]->sketch && p->screen_at_once > 0);
}

void choice_learn(Program *p, const Step *s)
{
    enum { TRY_AGAIN = 32 }; /* tokens */
    if (!has_choice(p, s)) return;
    const int groups = (s->matrix[0]->rows + ROW_GROUP - 1) / ROW_GROUP, sketch = s->matrix[0]->sketch != NULL;
    const int at_once = p->screen_at_once > 0, first = p->listed[sketch];
    if (at_once) p->screen_at_once--;
    else if (4 * first > 3 * groups) p->screen_at_once = TRY_AGAIN;
    p->chosen += groups;
    p->looked += at_once && sketch ? 0 : groups;
    p->closer += sketch ? 0 : at_once ? groups : first;
    p->exact += at_once && sketch ? groups : p->listed[1];
}
