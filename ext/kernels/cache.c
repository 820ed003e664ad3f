/* Writing keys and values into their cache: the layouts stand in sterna.h. */
#include "sterna.h"

#include <math.h>
#include <string.h>

size_t cache_data_bytes(const Cache *c)
{
    size_t each = c->type == KEEP_F32 ? 4 : c->type == KEEP_F16 ? 2 : 1;
    size_t values = c->keys ? (size_t)cache_blocks(c) * KEY_BLOCK * (size_t)c->width
                            : (size_t)c->capacity * (size_t)cache_row(c);
    return (size_t)c->heads * values * each;
}

size_t cache_scale_bytes(const Cache *c)
{
    if (c->type != KEEP_Q8) return 0;
    size_t positions = c->keys ? (size_t)cache_blocks(c) * KEY_BLOCK : (size_t)c->capacity;
    return (size_t)c->heads * positions * (size_t)cache_groups(c) * sizeof *c->scale;
}

/* Round to 8 bits by the scale as it is stored, so that reading gives the nearest value. */
static uint16_t quantise(const float *x, int n, int8_t *q)
{
    float most = 0;
    for (int i = 0; i < n; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    uint16_t scale = float_to_half(most / 127);
    float d = half_to_float(scale), factor = d > 0 ? 1 / d : 0;
    for (int i = 0; i < n; i++) {
        float v = rintf(x[i] * factor);
        q[i] = (int8_t)(v > 127 ? 127 : v > -127 ? v : -127); /* no number: -127 */
    }
    return scale;
}

/* The values of one head at one position, as they are stored, `step` from one to the next. */
static void keep_row(const Kernels *kernels, const Cache *c, const float *x, size_t at, size_t step)
{
    int n = c->width;
    if (c->type == KEEP_F32) {
        for (int i = 0; i < n; i++) ((float *)c->data)[at + (size_t)i * step] = x[i];
        return;
    }
    uint16_t half[n];
    kernels->store_half(x, n, half);
    for (int i = 0; i < n; i++) ((uint16_t *)c->data)[at + (size_t)i * step] = half[i];
}

void cache_keep(const Kernels *kernels, const Cache *c, const float *x, int position)
{
    int slot = position % c->capacity;
    int groups = cache_groups(c), block = slot / KEY_BLOCK, lane = slot % KEY_BLOCK;
    size_t step = c->keys ? KEY_BLOCK : 1; /* from a value of the position to the next */
    for (int h = 0; h < c->heads; h++, x += c->width) {
        size_t row = c->keys ? (size_t)h * (size_t)cache_blocks(c) + (size_t)block
                             : (size_t)h * (size_t)c->capacity + (size_t)slot;
        size_t at = c->keys ? row * (size_t)c->width * KEY_BLOCK + (size_t)lane : row * (size_t)cache_row(c);
        size_t scales = c->keys ? row * (size_t)groups * KEY_BLOCK + (size_t)lane
                                : (size_t)h * (size_t)groups * (size_t)c->capacity + (size_t)slot;
        size_t next = c->keys ? KEY_BLOCK : (size_t)c->capacity; /* from a group's scale to the next */
        if (c->type != KEEP_Q8) {
            keep_row(kernels, c, x, at, step);
            continue;
        }
        for (int g = 0; g < groups; g++) {
            int8_t q[KEEP_GROUP];
            int from = KEEP_GROUP * g, n = c->width - from < KEEP_GROUP ? c->width - from : KEEP_GROUP;
            c->scale[scales + (size_t)g * next] = quantise(x + from, n, q);
            for (int i = 0; i < n; i++) ((int8_t *)c->data)[at + (size_t)(from + i) * step] = q[i];
        }
    }
}
