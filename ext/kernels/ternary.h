/* Codes 0, 1, 2 of blocks of the ternary formats. */
#ifndef STERNA_TERNARY_H
#define STERNA_TERNARY_H

#include <stdint.h>

void codes_tq1_0(const uint8_t *block, uint8_t *code); /* 256 values */
void codes_tq2_0(const uint8_t *block, uint8_t *code); /* 256 values */
void codes_i2_s(const uint8_t *block, uint8_t *code);  /* 128 values */

#endif
