/* From float32 to the block formats: choosing scales and codes so that the weighted error is least. */
#ifndef STERNA_QUANTISE_H
#define STERNA_QUANTISE_H

#include "../blocks.h"

enum {
    QUANTISE_FINE,
    QUANTISE_UNKNOWN, /* no quantiser for this type */
    QUANTISE_VALUES   /* a value that is no number, or so large that float16 cannot hold it */
};

/* `rows` rows of `cols` values; cols fills whole blocks. `importance` weighs the squared error of the
 * columns (the mean square of the inputs that they meet), or is NULL. */
typedef int (*Quantise)(int type, const float *x, int64_t rows, int64_t cols, const float *importance, uint8_t *out);
int quantise_baseline(int, const float *, int64_t, int64_t, const float *, uint8_t *);
int quantise_avx2(int, const float *, int64_t, int64_t, const float *, uint8_t *);
int quantise_avx512(int, const float *, int64_t, int64_t, const float *, uint8_t *);
Quantise quantise_for(const char *wanted);

/* The opposite of take_apart: a block of a file from its parts. */
void put_together(const Format *f, const Parts *p, uint8_t *block);

#endif
