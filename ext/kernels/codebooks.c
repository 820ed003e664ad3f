/* Taking apart the blocks of codebooks: IQ2 and IQ3.
 *
 * A block names points of a grid, each the magnitudes of eight (IQ2) or four (IQ3) values, and their signs
 * beside them. Resolved, a value is one of six or sixteen numbers: a code and a table, as any other format's.
 * What is a number of seven bits in place of eight signs leaves out the last: an even number is negative.
 *
 * IQ2_XXS   d, 8 x (4 points of 8 bits, u32: 4 x 7 bits of signs, 4 bits of scale)
 * IQ2_XS    d, 32 x u16 (9 bits of point, 7 of signs), scales of 4 bits[8]
 * IQ2_S     d, points[32], signs[32], the points' upper 2 bits[8], scales of 4 bits[8]
 * IQ3_XXS   d, points[64], 8 x u32 as in IQ2_XXS
 * IQ3_S     d, points[64], the points' ninth bits[8], signs[32], scales of 4 bits[4] */
#include "bytes.h"
#include "codebooks.h"
#include "grids.h"

/* Eight signs of seven bits. */
static unsigned all_signs(unsigned seven) { return seven | (unsigned)__builtin_parity(seven) << 7; }

static void eight(unsigned point, unsigned signs, uint8_t *code)
{
    for (int i = 0; i < 8; i++) code[i] = (uint8_t)((point >> 2 * i & 3) | (signs >> i & 1) << 2);
}

static void four(unsigned point, unsigned signs, uint8_t *code)
{
    for (int i = 0; i < 4; i++) code[i] = (uint8_t)((point >> 3 * i & 7) | (signs >> i & 1) << 3);
}

/* Scales of four bits, two in a byte; a scale is an odd number. */
static void odd_scales(const uint8_t *s, int count, Parts *p)
{
    for (int i = 0; i < count; i++) p->scale[i] = (int8_t)(2 * (s[i / 2] >> 4 * (i % 2) & 15) + 1);
}

void apart_iq2_xxs(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    for (int s = 0; s < 8; s++) {
        const uint8_t *points = b + 2 + 8 * s;
        uint32_t rest = read32(points + 4);
        p->scale[s] = (int8_t)(2 * (rest >> 28) + 1);
        for (int i = 0; i < 4; i++)
            eight(grid_iq2_xxs[points[i]], all_signs(rest >> 7 * i & 127), p->code + 32 * s + 8 * i);
    }
}

void apart_iq2_xs(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    odd_scales(b + 66, 16, p);
    for (int i = 0; i < 32; i++) {
        unsigned v = read16(b + 2 + 2 * i);
        eight(grid_iq2_xs[v & 511], all_signs(v >> 9), p->code + 8 * i);
    }
}

void apart_iq2_s(const uint8_t *b, Parts *p)
{
    const uint8_t *signs = b + 34, *high = b + 66;
    p->d = read16(b);
    odd_scales(b + 74, 16, p);
    for (int i = 0; i < 32; i++)
        eight(grid_iq2_s[b[2 + i] | (high[i / 4] >> 2 * (i % 4) & 3) << 8], signs[i], p->code + 8 * i);
}

void apart_iq3_xxs(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    for (int s = 0; s < 8; s++) {
        const uint8_t *points = b + 2 + 8 * s;
        uint32_t rest = read32(b + 66 + 4 * s);
        p->scale[s] = (int8_t)(2 * (rest >> 28) + 1);
        for (int i = 0; i < 8; i++)
            four(grid_iq3_xxs[points[i]], all_signs(rest >> 7 * (i / 2) & 127) >> 4 * (i % 2), p->code + 32 * s + 4 * i);
    }
}

void apart_iq3_s(const uint8_t *b, Parts *p)
{
    const uint8_t *high = b + 66, *signs = b + 74;
    p->d = read16(b);
    odd_scales(b + 106, 8, p);
    for (int i = 0; i < 64; i++)
        four(grid_iq3_s[b[2 + i] | (high[i / 8] >> i % 8 & 1) << 8], signs[i / 2] >> 4 * (i % 2), p->code + 4 * i);
}
