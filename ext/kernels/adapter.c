/* Low-rank adapters (LoRA, Hu et al. 2021) beside a product: W x + factor * B (A x). The base is never
 * touched, so it may be of any type; A x is of the input as it is, before it was quantised. */
#include "steps.h"

void side_down(Program *p, const Side *side, const Act *a, int index)
{
    int begin, end, ranks = side->ranks;
    Act input = *a;
    input.add = 0;
    pool_open(p->pool, index, ranks, 8);
    while (pool_take(p->pool, index, &begin, &end)) {
        side->down.multiply(&side->down, begin, end, &input, p->mid, ranks);
        for (int t = 0; t < a->tokens; t++)
            for (int r = begin; r < end; r++) p->mid[(size_t)t * ranks + r] *= side->factor[r];
    }
    pool_close(p->pool, index);
}

void side_up(const Program *p, const Side *side, int i, int tokens, int begin, int end, float *out, int out_stride)
{
    if (side->out[i].up)
        p->kernels->side(side->out[i].up, side->half, side->out[i].ranks, p->mid + side->out[i].first, side->ranks, tokens,
                         begin, end, out, out_stride);
}

void side_embed(const Program *p, const Side *side, int32_t id, float *out, int width)
{
    float mid[side->ranks]; /* the loader bounds them */
    dequantise(side->down.type, side->down.data + (size_t)id * side->down.row_bytes, side->ranks, mid);
    for (int r = 0; r < side->ranks; r++) mid[r] *= side->factor[r];
    p->kernels->side(side->out[0].up, side->half, side->ranks, mid, side->ranks, 1, 0, width, out, width);
}
