#include "sample.h"

#include <math.h>
#include <stdlib.h>

/* splitmix64 (Steele, Lea, Flood 2014): one state word, any seed is good. */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* Greater logit first; equal ones by id, so that the order is total and the same everywhere. */
static int before(const Candidate *a, const Candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static int compare(const void *a, const void *b) { return before(a, b) ? -1 : 1; }

static int argmax(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Each id is penalised once, however often it came: positive logits divided, negative multiplied. */
static void penalise(float *logits, int vocab, float penalty, const int32_t *recent, int recents)
{
    for (int i = 0; i < recents; i++) {
        int32_t id = recent[i];
        int seen = id < 0 || id >= vocab;
        for (int j = 0; j < i && !seen; j++) seen = recent[j] == id;
        if (!seen) logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }
}

/* The probability reported is the model's own. */
static float unpenalised(float logit, int32_t id, float penalty, const int32_t *recent, int recents)
{
    for (int i = 0; i < recents; i++)
        if (recent[i] == id) return logit > 0 ? logit * penalty : logit / penalty;
    return logit;
}

static void sift(Candidate *heap, int n, int i)
{
    for (;;) { /* the worst candidate on top */
        int worst = i, l = 2 * i + 1;
        if (l < n && before(&heap[worst], &heap[l])) worst = l;
        if (l + 1 < n && before(&heap[worst], &heap[l + 1])) worst = l + 1;
        if (worst == i) return;
        Candidate c = heap[i];
        heap[i] = heap[worst];
        heap[worst] = c;
        i = worst;
    }
}

/* The `k` best in `room`, in no order. */
static int best_k(const float *logits, int vocab, int k, Candidate *room)
{
    int i = 0;
    for (; i < k; i++) room[i] = (Candidate){i, logits[i]};
    for (int j = k / 2 - 1; j >= 0; j--) sift(room, k, j);
    for (; i < vocab; i++) {
        Candidate c = {i, logits[i]};
        if (logits[i] > room[0].logit) {
            room[0] = c;
            sift(room, k, 0);
        }
    }
    return k;
}

static int keep_top_p(const Candidate *c, int n, float top_p)
{
    double sum = 0, running = 0;
    for (int i = 0; i < n; i++) sum += exp((double)c[i].logit - c[0].logit);
    for (int i = 0; i < n; i++)
        if ((running += exp((double)c[i].logit - c[0].logit)) >= top_p * sum) return i + 1;
    return n;
}

int32_t sample(const Kernels *kernels, float *logits, int vocab, const Sampling *s, const int32_t *recent,
               int recents, Candidate *room, uint64_t *state, float *logprob)
{
    float high = logits[argmax(logits, vocab)];
    double total = kernels->sum_exp(logits, vocab, high);
    float log_total = high + (float)log(total);
    int chosen, n;

    if (s->repeat_penalty == 1) recents = 0;
    penalise(logits, vocab, s->repeat_penalty, recent, recents);
    if (s->temperature <= 0) {
        chosen = argmax(logits, vocab);
        *logprob = unpenalised(logits[chosen], chosen, s->repeat_penalty, recent, recents) - log_total;
        return chosen;
    }
    n = best_k(logits, vocab, s->top_k > 0 && s->top_k < vocab ? s->top_k : vocab, room);
    qsort(room, (size_t)n, sizeof *room, compare);
    if (s->top_p < 1) n = keep_top_p(room, n, s->top_p);
    if (s->min_p > 0) {
        float floor = room[0].logit + logf(s->min_p);
        while (n > 1 && room[n - 1].logit < floor) n--;
    }
    double sum = 0, at;
    for (int i = 0; i < n; i++) sum += exp(((double)room[i].logit - room[0].logit) / s->temperature);
    at = uniform(state) * sum;
    chosen = room[n - 1].id;
    for (int i = 0; i < n; i++)
        if ((at -= exp(((double)room[i].logit - room[0].logit) / s->temperature)) < 0) {
            chosen = room[i].id;
            break;
        }
    *logprob = unpenalised(logits[chosen], chosen, s->repeat_penalty, recent, recents) - log_total;
    return chosen;
}
