/* Choosing the next token from its logits. */
#ifndef STERNA_SAMPLE_H
#define STERNA_SAMPLE_H

#include "sterna.h"

typedef struct {
    float temperature; /* <= 0: greedy */
    int top_k;         /* <= 0: off */
    float top_p;       /* >= 1: off */
    float min_p;       /* <= 0: off */
    float repeat_penalty; /* 1: off */
} Sampling;

typedef struct {
    int32_t id;
    float logit;
} Candidate;

/* Choose a token. `recent` are the ids that the penalty looks at; `logits` [vocab] are changed by it;
 * `room` holds `vocab` candidates. Chain: penalty, top-k, top-p, min-p, temperature (the order of
 * llama.cpp). *state is the random state. *logprob is ln p of the choice before any of these. */
int32_t sample(const Kernels *kernels, float *logits, int vocab, const Sampling *s, const int32_t *recent,
               int recents, Candidate *room, uint64_t *state, float *logprob);

#endif
