/* A sketch of an output matrix of floats: the upper bits that it would have in Q6_K, to find the rows of the greatest
 * products by (screens.inc). The matrix itself stays as it is, and gives the exact values. */
#include "blocks.h"

#include <math.h>
#include <string.h>

enum { SKETCH_VALUES = 256, SKETCH_SPAN = 16, SKETCH_CODE = 32 /* what is added to a value in its scale's unit */ };

/* A scale for each span that takes its values to +-31.5; 0 where a float16 cannot hold d, and nothing is known then. */
static int sketch_block(const float *x, Parts *p)
{
    float most[SKETCH_VALUES / SKETCH_SPAN], greatest = 0;
    for (int s = 0; s < SKETCH_VALUES / SKETCH_SPAN; s++) {
        most[s] = 0;
        for (int i = 0; i < SKETCH_SPAN; i++) {
            const float size = fabsf(x[SKETCH_SPAN * s + i]);
            if (!(size <= 1e30f)) return 0;
            most[s] = size > most[s] ? size : most[s];
        }
        greatest = most[s] > greatest ? most[s] : greatest;
    }
    p->d = float_to_half(greatest / (31.5f * 126)); /* rounded down by less than what 126 leaves below 127 */
    const float d = half_to_float(p->d);
    if (greatest > 0 && !(d * 127 * 31.5f >= greatest && d < 6e4f)) return 0;
    for (int s = 0; s < SKETCH_VALUES / SKETCH_SPAN; s++) {
        const float scale = d > 0 ? ceilf(most[s] / (31.5f * d)) : 0, by = scale > 0 ? 1 / (d * scale) : 0;
        p->scale[s] = (int8_t)scale;
        for (int i = SKETCH_SPAN * s; i < SKETCH_SPAN * (s + 1); i++) {
            const int code = (int)(x[i] * by + SKETCH_CODE + 0.5f); /* rounded: it is positive */
            p->code[i] = (uint8_t)(code > 63 ? 63 : code);
        }
    }
    return 1;
}

const Format *sketch_format(void) { return &formats[FORMAT_q6_k]; }

int sketch_pack_group(int type, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed)
{
    const Format *f = sketch_format();
    const size_t block = row_bytes / (size_t)(cols / SKETCH_VALUES);
    float x[SKETCH_VALUES];
    Parts p;
    memset(packed, 0, split_bytes(f, cols, SPLIT_UPPER));
    for (int r = 0; r < rows; r++)
        for (int b = 0; b < cols / SKETCH_VALUES; b++) {
            dequantise(type, data + (size_t)r * row_bytes + (size_t)b * block, SKETCH_VALUES, x);
            if (!sketch_block(x, &p)) return 0;
            pack_block(f, &p, b, r, UPPER_BITS, packed);
        }
    return 1;
}
