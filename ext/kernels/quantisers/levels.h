/* The values that a code can stand for, in units of the scale: whole numbers, or a table. */
#ifndef STERNA_LEVELS_H
#define STERNA_LEVELS_H

#include "../blocks.h"
#include "lanes.h"

typedef struct {
    int count; /* of a table; 0: whole numbers from low to high */
    float low, high;
    float middle[15], step[15]; /* between a level and the next: where rounding turns, how far it is */
    uint8_t code[256];          /* of the level l, at l + 128; only of a table */
} Levels;

static void take_table(Levels *l, const Format *f)
{
    int value[16], count = 0;
    for (int v = -128; v < 128; v++) /* sorted, each once: -0 of MXFP4 is 0 */
        for (int c = 0; c < 16; c++)
            if (tables[f->table][c] - f->offset == v && (count == 0 || value[count - 1] != v)) {
                l->code[v + 128] = (uint8_t)c;
                value[count++] = v;
            }
    for (int i = 0; i + 1 < count; i++) {
        l->middle[i] = 0.5f * (float)(value[i] + value[i + 1]);
        l->step[i] = (float)(value[i + 1] - value[i]);
    }
    l->count = count;
    l->low = (float)value[0];
    l->high = (float)value[count - 1];
}

static Levels levels_of(const Format *f)
{
    Levels l = {.low = (float)-f->offset, .high = (float)((1 << f->bits) - 1 - f->offset)};
    if (f->table) take_table(&l, f);
    if (f->type == TYPE_TQ1_0 || f->type == TYPE_TQ2_0) l.high = 1; /* a code 3 is not ternary */
    if (f->bits == 8) l.low = -127; /* as every other program writes it */
    return l;
}

INLINE V nearest(const Levels *l, V v)
{
    if (!l->count) return rounded(most(least(v, all(l->high)), all(l->low)));
    V level = all(l->low);
    for (int i = 0; i + 1 < l->count; i++) level += (V)((M)all(l->step[i]) & (v > all(l->middle[i])));
    return level;
}

#endif
