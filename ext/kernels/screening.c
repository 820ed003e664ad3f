#include "screening.h"

#include <math.h>

/* Of a span, as each look sees its activations: their sum, and the squares of what they are short of. */
typedef struct {
    int32_t sum[LOOKS], lost[LOOKS], squares;
} Seen;

/* y of a span, and what is seen of it. */
static void six_bits(const int8_t *q, int8_t *y, Seen *seen)
{
    /* of roundings to 8 bits: the exact products of a matrix of floats, of which there is no closer look, are without */
    *seen = (Seen){.lost = {SPAN / 12 + 1, 0}};
    for (int i = 0; i < SPAN; i++) {
        int x = (q[i] + 2 + 128) / 4 - 32, left = q[i] - 4 * x; /* rounded; 127 is 32, and is made 31 */
        if (x > 31) {
            x = 31;
            left = q[i] - 4 * x;
        }
        y[i] = (int8_t)(i / 4 % 2 ? x : 4 * x);
        seen->sum[LOOK] += 4 * x;
        seen->sum[LOOK_CLOSER] += q[i];
        seen->squares += q[i] * q[i];
        seen->lost[LOOK] += left * left;
    }
}

/* Of a code, the lowest `hidden` values are unknown, and taken as the middle one. */
static void fill_look(const Format *f, const Act *a, int spans, const Seen *seen, int which, int hidden, Look *look)
{
    const float blur = (float)(hidden * hidden - 1) / 12, size = ldexpf(1, 2 * (f->bits - 1)); /* code - offset, squared */
    const float taken = ((float)f->offset - 0.5f * (float)(hidden - 1)) / (float)hidden;
    float greatest = 0;
    look->step = (float)hidden;
    for (int pass = 0; pass < 2; pass++)
        for (int s = 0; s < spans; s++) {
            float act = a->block_scale[s / 2];
            float energy = act * act * (blur * (float)seen[s].squares + size * (float)seen[s].lost[which]);
            if (!pass) {
                greatest = energy > greatest ? energy : greatest;
                continue;
            }
            int start = (int)lrintf(-taken * (float)seen[s].sum[which]);
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
    static _Thread_local Seen seen[SPLIT_COLUMNS / SPAN];
    const int spans = (cols + 63) / 64 * (64 / SPAN); /* whole units */
    for (int i = 0; i < spans; i++) six_bits(a->block_q + SPAN * i, s->y + SPAN * i, &seen[i]);
    fill_look(f, a, spans, seen, LOOK, 1 << (f->bits - UPPER_BITS), &s->look[LOOK]);
    fill_look(f, a, spans, seen, LOOK_CLOSER, 1 << (f->bits - UPPER_BITS - MIDDLE_BITS), &s->look[LOOK_CLOSER]);
}
