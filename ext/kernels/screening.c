#include "screening.h"

#include <math.h>

/* y of a span; the sums of squares of the activations and of what 6 bits, and the 8 before, leave out of them. */
static void six_bits(const int8_t *q, int8_t *y, int32_t *sum, int32_t *squares, int32_t *lost)
{
    *sum = *squares = 0;
    *lost = SPAN / 12 + 1; /* of roundings to 8 bits: the exact products of a matrix of floats are without */
    for (int i = 0; i < SPAN; i++) {
        int x = (q[i] + 2 + 128) / 4 - 32, left = q[i] - 4 * x; /* rounded; 127 is 32, and is made 31 */
        if (x > 31) {
            x = 31;
            left = q[i] - 4 * x;
        }
        y[i] = (int8_t)(i / 4 % 2 ? x : 4 * x);
        *sum += x;
        *squares += q[i] * q[i];
        *lost += left * left;
    }
}

/* Codes are known but for `hidden` values above 0; `taken` is what is subtracted of them, in their own unit. */
static void fill_look(const Format *f, const Act *a, int spans, const int32_t (*span)[3], int step, int hidden, float taken,
                      Look *look)
{
    const float blur = (float)(hidden * hidden - 1) / 12, most = ldexpf(1, 2 * (f->bits - 1)); /* code - offset, squared */
    float greatest = 0;
    look->step = (float)step;
    for (int pass = 0; pass < 2; pass++)
        for (int s = 0; s < spans; s++) {
            float act = a->block_scale[s / 2];
            float energy = act * act * (blur * (float)span[s][1] + most * (float)span[s][2]);
            if (!pass) {
                greatest = energy > greatest ? energy : greatest;
                continue;
            }
            int start = (int)lrintf(-4 * taken / (float)step * (float)span[s][0]);
            look->start[s][0] = (int16_t)(start / 2);
            look->start[s][1] = (int16_t)(start - start / 2);
            energy = energy / greatest * MOST_ENERGY;
            look->energy[s] = (int16_t)(energy > 0 && energy <= MOST_ENERGY ? ceilf(energy) : 0); /* or no number */
        }
    look->unit = greatest / MOST_ENERGY;
}

/* 6 bits of an activation are enough: what they leave out adds a hundredth to the variance of the first look. Energies
 * are rounded up. */
void screening_prepare(const Format *f, const Act *a, int cols, Screening *s)
{
    static _Thread_local int32_t span[SPLIT_COLUMNS / SPAN][3];
    const int spans = (cols + 63) / 64 * (64 / SPAN); /* whole units */
    const int hidden = 1 << (f->bits - UPPER_BITS), still = hidden >> MIDDLE_BITS;
    const float before = 0.5f * (float)(hidden - 1), after = 0.5f * (float)(still - 1);
    for (int i = 0; i < spans; i++) six_bits(a->block_q + SPAN * i, s->y + SPAN * i, &span[i][0], &span[i][1], &span[i][2]);
    fill_look(f, a, spans, span, hidden, hidden, (float)f->offset - before, &s->look[LOOK]);
    fill_look(f, a, spans, span, still, still, before - after, &s->look[LOOK_CLOSER]);
}
