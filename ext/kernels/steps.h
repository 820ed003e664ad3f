/* The steps of a program. Every function is run by all threads and shares its work out by phases of the
 * pool. What a phase is (tokens, widths, chunks) follows from the program alone, or from what an earlier
 * phase has left, so all threads agree on it. */
#ifndef STERNA_STEPS_H
#define STERNA_STEPS_H

#include "program.h"

void step_rope(Program *p, const Step *s, int index);
void step_attend(Program *p, const Step *s, int index);
void step_experts(Program *p, const Step *s, int index);

/* One token by a split matrix: estimates for all rows, closer ones where one of the greatest may be, and exact values
 * where it still may. A sketch has no middle bits, so what follows its estimates is exact. */
void step_choose(Program *p, const Step *s, int index);
/* Whether a linear step is done so. */
int choice_by_estimates(const Program *p, const Step *s);
/* After a run. Where most rows turn out to need a second look, the next tokens look twice at once, or by a sketch not at
 * all: it depends on the model and on how many of the greatest are wanted. Exact values are the same either way. */
void choice_learn(Program *p, const Step *s);

/* Add the squares of what goes into the products of a step: a phase of its own. */
void observe_linear(Program *p, const Step *s, const Act *a, int index);
void observe_experts(Program *p, const Step *s, int index);

/* Rows of one output that a thread takes at once: some 32 kB of weights for one token. */
int rows_at_once(const Matrix *m, int tokens);

/* down x of the side of a step, to p->mid, for the inputs in `a`: a phase of its own. */
void side_down(Program *p, const Side *side, const Act *a, int index);
/* Rows [begin, end) of output i += up (down x); `out` is its row 0 of the first of `tokens`. */
void side_up(const Program *p, const Side *side, int i, int tokens, int begin, int end, float *out, int out_stride);
/* One id's row of an embedding's side onto `out`. */
void side_embed(const Program *p, const Side *side, int32_t id, float *out, int width);

/* Inputs `first`… of `all` as products of `width` columns see them, with the room of thread `index`. Of
 * several inputs the first lies at the start of a tile. */
Act act_view(const Program *p, const Act *all, int first, int tokens, int width, int index);

/* Zeros where the tile from input t0 on has no values, before its inputs are quantised. */
void act_clear_tile(const Act *a, int t0, int forms);

/* Input t, float32 in f [stride] with zeros behind its values, in the forms asked for. */
void act_quantise(const Kernels *kernels, const Act *a, int t, float *f, int forms);

#endif
