/* The formats of codebooks, taken apart: see codebooks.c. */
#ifndef STERNA_CODEBOOKS_H
#define STERNA_CODEBOOKS_H

#include "blocks.h"

void apart_iq2_xxs(const uint8_t *block, Parts *parts);
void apart_iq2_xs(const uint8_t *block, Parts *parts);
void apart_iq2_s(const uint8_t *block, Parts *parts);
void apart_iq3_xxs(const uint8_t *block, Parts *parts);
void apart_iq3_s(const uint8_t *block, Parts *parts);

#endif
