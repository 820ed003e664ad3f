/* What the estimates of a split output matrix need of the activations (screens.inc). */
#ifndef STERNA_SCREENING_H
#define STERNA_SCREENING_H

#include "blocks.h"

enum { LOOK, LOOK_CLOSER, LOOKS };                 /* at the upper bits; with the middle ones */
enum { MOST_ENERGY = 4095 };                       /* of a span */

/* Of one look: a row's product is the sum over its spans of d * scale * step * act * (codes by y - start), its variance
 * the sum of (d * scale)^2 * unit * energy. */
typedef struct {
    float step, unit;
    int16_t start[SPLIT_COLUMNS / SPAN][2]; /* the halves of -start, one for each sum of a pair of columns */
    int16_t energy[SPLIT_COLUMNS / SPAN];
} Look;

/* For the first look activations of one token in 6 bits, for codes that lie in a byte as they are packed: what multiplies
 * a code at bit 0 or 4 is four times what multiplies one at bit 2 or 6. */
typedef struct Screening {
    int8_t y[SPLIT_COLUMNS];
    Look look[LOOKS];
} Screening;
_Static_assert(sizeof(Screening) <= PANEL_BYTES, "it has the room of a panel");

void screening_prepare(const Format *f, const Act *a, int cols, Screening *s);

#endif
