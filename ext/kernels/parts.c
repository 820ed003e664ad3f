/* Taking blocks of GGUF apart: one function a format, codes in the order of the values.
 *
 * The layouts are those of the GGUF specification (ggml-common.h):
 * Q4_0 Q4_1   d [m] q[16]: low halves of bytes, then high halves
 * Q5_0 Q5_1   d [m] u32 of fifth bits, q[16] as above
 * Q8_0        d, int8[32]
 * Q2_K        scale | min << 4 [16], q[64], d, dmin: in each half of 128, 32 bytes in four planes of 2 bits
 * Q3_K        top bits[32] (value k: bit k / 32 of byte k % 32), q[64] as Q2_K, scales of 6 bits[12], d
 * Q4_K Q5_K   d, dmin, scales and minima of 6 bits[12], [top bits[32],] q[128]: 64 values in 32 bytes
 * Q6_K        ql[128], qh[64], int8 scale[16], d
 * IQ4_NL      as Q4_0, by a table; IQ4_XS: d, u16 + u8[4] scales of 6 bits, q[128]: 32 values in 16 bytes
 * MXFP4       e8m0, q[16] as Q4_0
 * TQ2_0       q[64], d; TQ1_0: q[48], qh[4], d: see ternary.c
 * IQ2, IQ3    see codebooks.c */
#include "bytes.h"
#include "codebooks.h"
#include "ternary.h"

#include <string.h>

/* `bytes` bytes to low halves, then high halves. */
static void halves(const uint8_t *q, int bytes, uint8_t *code)
{
    for (int i = 0; i < bytes; i++) {
        code[i] = q[i] & 15;
        code[bytes + i] = q[i] >> 4;
    }
}

/* The fifth bits of 32 values. */
static void fifths(const uint8_t *bits, uint8_t *code)
{
    for (int i = 0; i < 32; i++) code[i] |= (uint8_t)((bits[i / 8] >> i % 8 & 1) << 4);
}

static void apart_q4_0(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    halves(b + 2, 16, p->code);
}

static void apart_q4_1(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    p->dmin = read16(b + 2);
    halves(b + 4, 16, p->code);
}

static void apart_q5_0(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    halves(b + 6, 16, p->code);
    fifths(b + 2, p->code);
}

static void apart_q5_1(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    p->dmin = read16(b + 2);
    halves(b + 8, 16, p->code);
    fifths(b + 4, p->code);
}

static void apart_q8_0(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    for (int i = 0; i < 32; i++) p->code[i] = b[2 + i] ^ 0x80; /* int8 + 128 */
}

static void planes(const uint8_t *q, uint8_t *code)
{
    for (int half = 0; half < 2; half++)
        for (int n = 0; n < 4; n++)
            for (int i = 0; i < 32; i++) code[128 * half + 32 * n + i] = q[32 * half + i] >> 2 * n & 3;
}

static void apart_q2_k(const uint8_t *b, Parts *p)
{
    for (int i = 0; i < 16; i++) {
        p->scale[i] = b[i] & 15;
        p->min[i] = b[i] >> 4;
    }
    planes(b + 16, p->code);
    p->d = read16(b + 80);
    p->dmin = read16(b + 82);
}

static void apart_q3_k(const uint8_t *b, Parts *p)
{
    const uint8_t *s = b + 96;
    planes(b + 32, p->code);
    for (int k = 0; k < 256; k++) p->code[k] |= (uint8_t)((b[k % 32] >> k / 32 & 1) << 2);
    for (int i = 0; i < 16; i++) {
        int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4, high = s[8 + i % 4] >> 2 * (i / 4) & 3;
        p->scale[i] = (int8_t)((low | high << 4) - 32);
    }
    p->d = read16(b + 108);
}

/* Eight scales and eight minima of six bits in 12 bytes. */
static void sixes(const uint8_t *s, Parts *p)
{
    for (int i = 0; i < 4; i++) {
        p->scale[i] = s[i] & 63;
        p->min[i] = s[4 + i] & 63;
        p->scale[4 + i] = (int8_t)((s[8 + i] & 15) | (s[i] >> 6 << 4));
        p->min[4 + i] = (uint8_t)(s[8 + i] >> 4 | (s[4 + i] >> 6 << 4));
    }
}

static void apart_q4_k(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    p->dmin = read16(b + 2);
    sixes(b + 4, p);
    for (int i = 0; i < 4; i++) halves(b + 16 + 32 * i, 32, p->code + 64 * i);
}

static void apart_q5_k(const uint8_t *b, Parts *p)
{
    p->d = read16(b);
    p->dmin = read16(b + 2);
    sixes(b + 4, p);
    for (int i = 0; i < 4; i++) halves(b + 48 + 32 * i, 32, p->code + 64 * i);
    for (int k = 0; k < 256; k++) p->code[k] |= (uint8_t)((b[16 + k % 32] >> k / 32 & 1) << 4);
}

static void apart_q6_k(const uint8_t *b, Parts *p)
{
    for (int h = 0; h < 2; h++) {
        const uint8_t *ql = b + 64 * h, *qh = b + 128 + 32 * h;
        uint8_t *c = p->code + 128 * h;
        for (int i = 0; i < 32; i++) {
            c[i] = (uint8_t)((ql[i] & 15) | (qh[i] & 3) << 4);
            c[32 + i] = (uint8_t)((ql[32 + i] & 15) | (qh[i] >> 2 & 3) << 4);
            c[64 + i] = (uint8_t)(ql[i] >> 4 | (qh[i] >> 4 & 3) << 4);
            c[96 + i] = (uint8_t)(ql[32 + i] >> 4 | qh[i] >> 6 << 4);
        }
    }
    memcpy(p->scale, b + 192, 16);
    p->d = read16(b + 208);
}

static void apart_iq4_nl(const uint8_t *b, Parts *p) { apart_q4_0(b, p); }

static void apart_iq4_xs(const uint8_t *b, Parts *p)
{
    uint16_t high = read16(b + 2);
    p->d = read16(b);
    for (int i = 0; i < 8; i++) {
        int low = b[4 + i / 2] >> 4 * (i % 2) & 15;
        p->scale[i] = (int8_t)((low | (high >> 2 * i & 3) << 4) - 32);
        halves(b + 8 + 16 * i, 16, p->code + 32 * i);
    }
}

static void apart_mxfp4(const uint8_t *b, Parts *p)
{
    p->d = b[0];
    halves(b + 1, 16, p->code);
}

static void apart_tq1_0(const uint8_t *b, Parts *p)
{
    codes_tq1_0(b, p->code);
    memset(p->scale, 1, sizeof p->scale);
    p->d = read16(b + 52);
}

static void apart_tq2_0(const uint8_t *b, Parts *p)
{
    codes_tq2_0(b, p->code);
    memset(p->scale, 1, sizeof p->scale);
    p->d = read16(b + 64);
}

#define ENTRY(name, type, values, bytes, bits, span, scaling, offset, table) \
    {#name, type, values, bytes, bits, span, scaling, offset, table, apart_##name},
const Format formats[FORMATS] = {EACH_FORMAT(ENTRY)};

const uint8_t tables[TABLES][16] = {
    {0},
    /* IQ4_NL: -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113 */
    {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241},
    /* MXFP4, doubled: 0 1 2 3 4 6 8 12 and their negatives */
    {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0},
    /* IQ2: 8 25 43 and, at 4, their negatives */
    {51, 68, 86, 43, 35, 18, 0, 43},
    /* IQ3_XXS, halved: 2 6 10 14 18 22 26 31 and their negatives */
    {33, 37, 41, 45, 49, 53, 57, 62, 29, 25, 21, 17, 13, 9, 5, 0},
    /* IQ3_S: 1 3 5 7 9 11 13 15 and their negatives */
    {16, 18, 20, 22, 24, 26, 28, 30, 14, 12, 10, 8, 6, 4, 2, 0},
    /* IQ4_NL, signed: less 128 */
    {129, 152, 173, 191, 207, 221, 234, 246, 1, 13, 25, 38, 53, 69, 89, 113},
};

const Format *format_of(int type)
{
    for (int i = 0; i < FORMATS; i++)
        if (formats[i].type == type) return &formats[i];
    return NULL;
}
