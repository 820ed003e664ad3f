/* Blocks of GGUF from their parts: the opposite of parts.c, where the layouts are described. */
#include "quantise.h"

#include <string.h>

static void put16(uint8_t *to, uint16_t v)
{
    to[0] = (uint8_t)v;
    to[1] = (uint8_t)(v >> 8);
}

/* Low four bits: the first half of the values in low halves of bytes, the second in high ones. */
static void halves(const uint8_t *code, int bytes, uint8_t *q)
{
    for (int i = 0; i < bytes; i++) q[i] = (uint8_t)((code[i] & 15) | (code[bytes + i] & 15) << 4);
}

/* Bit `bit` of every value, eight to a byte. */
static void bits_of(const uint8_t *code, int bit, uint8_t *to)
{
    for (int i = 0; i < 4; i++) {
        to[i] = 0;
        for (int j = 0; j < 8; j++) to[i] |= (uint8_t)((code[8 * i + j] >> bit & 1) << j);
    }
}

/* Bit `bit` of value k as bit k / 32 of byte k % 32. */
static void tops(const uint8_t *code, int bit, uint8_t *to)
{
    for (int i = 0; i < 32; i++) {
        to[i] = 0;
        for (int n = 0; n < 8; n++) to[i] |= (uint8_t)((code[32 * n + i] >> bit & 1) << n);
    }
}

/* Two bits a value: in each half of 128, 32 bytes in four planes. */
static void planes(const uint8_t *code, uint8_t *q)
{
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < 32; i++) {
            const uint8_t *c = code + 128 * half + i;
            q[32 * half + i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
        }
}

/* d [m] [fifth bits] and four bits a value. */
static void small(const Format *f, const Parts *p, uint8_t *b)
{
    put16(b, p->d);
    b += 2;
    if (f->scaling == SCALE_HALF_MIN) {
        put16(b, p->dmin);
        b += 2;
    }
    if (f->bits == 5) {
        bits_of(p->code, 4, b);
        b += 4;
    }
    halves(p->code, 16, b);
}

static void join_q8_0(const Parts *p, uint8_t *b)
{
    put16(b, p->d);
    for (int i = 0; i < 32; i++) b[2 + i] = p->code[i] ^ 0x80;
}

static void join_q2_k(const Parts *p, uint8_t *b)
{
    for (int i = 0; i < 16; i++) b[i] = (uint8_t)((p->scale[i] & 15) | (p->min[i] & 15) << 4);
    planes(p->code, b + 16);
    put16(b + 80, p->d);
    put16(b + 82, p->dmin);
}

static void join_q3_k(const Parts *p, uint8_t *b)
{
    uint8_t *s = b + 96;
    tops(p->code, 2, b);
    planes(p->code, b + 32);
    memset(s, 0, 12);
    for (int i = 0; i < 16; i++) {
        int v = p->scale[i] + 32;
        s[i % 8] |= (uint8_t)((v & 15) << 4 * (i / 8));
        s[8 + i % 4] |= (uint8_t)((v >> 4 & 3) << 2 * (i / 4));
    }
    put16(b + 108, p->d);
}

/* Eight scales and eight minima of six bits. */
static void sixes(const Parts *p, uint8_t *s)
{
    for (int i = 0; i < 4; i++) {
        s[i] = (uint8_t)((p->scale[i] & 63) | (p->scale[4 + i] >> 4 & 3) << 6);
        s[4 + i] = (uint8_t)((p->min[i] & 63) | (p->min[4 + i] >> 4 & 3) << 6);
        s[8 + i] = (uint8_t)((p->scale[4 + i] & 15) | (p->min[4 + i] & 15) << 4);
    }
}

static void join_q45_k(const Format *f, const Parts *p, uint8_t *b)
{
    put16(b, p->d);
    put16(b + 2, p->dmin);
    sixes(p, b + 4);
    b += 16;
    if (f->bits == 5) {
        tops(p->code, 4, b);
        b += 32;
    }
    for (int i = 0; i < 4; i++) halves(p->code + 64 * i, 32, b + 32 * i);
}

static void join_q6_k(const Parts *p, uint8_t *b)
{
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 32; i++) {
            const uint8_t *c = p->code + 128 * h + i;
            uint8_t *ql = b + 64 * h + i;
            ql[0] = (uint8_t)((c[0] & 15) | (c[64] & 15) << 4);
            ql[32] = (uint8_t)((c[32] & 15) | (c[96] & 15) << 4);
            b[128 + 32 * h + i] = (uint8_t)((c[0] >> 4 & 3) | (c[32] >> 4 & 3) << 2 | (c[64] >> 4 & 3) << 4
                                            | (c[96] >> 4 & 3) << 6);
        }
    memcpy(b + 192, p->scale, 16);
    put16(b + 208, p->d);
}

static void join_iq4_xs(const Parts *p, uint8_t *b)
{
    uint16_t high = 0;
    put16(b, p->d);
    memset(b + 4, 0, 4);
    for (int i = 0; i < 8; i++) {
        int v = p->scale[i] + 32;
        b[4 + i / 2] |= (uint8_t)((v & 15) << 4 * (i % 2));
        high |= (uint16_t)((v >> 4 & 3) << 2 * i);
        halves(p->code + 32 * i, 16, b + 8 + 16 * i);
    }
    put16(b + 2, high);
}

static void join_mxfp4(const Parts *p, uint8_t *b)
{
    b[0] = (uint8_t)p->d;
    halves(p->code, 16, b + 1);
}

/* Codes as digits of base 3, highest first, in one byte: ceil(v * 256 / 243). */
static uint8_t base_three(const uint8_t *code, int digits, int apart)
{
    unsigned v = 0;
    for (int n = 0; n < 5; n++) v = 3 * v + (n < digits ? code[n * apart] : 0);
    return (uint8_t)((v * 256 + 242) / 243);
}

static void join_tq1_0(const Parts *p, uint8_t *b)
{
    for (int m = 0; m < 32; m++) b[m] = base_three(p->code + m, 5, 32);
    for (int m = 0; m < 16; m++) b[32 + m] = base_three(p->code + 160 + m, 5, 16);
    for (int m = 0; m < 4; m++) b[48 + m] = base_three(p->code + 240 + m, 4, 4);
    put16(b + 52, p->d);
}

static void join_tq2_0(const Parts *p, uint8_t *b)
{
    planes(p->code, b);
    put16(b + 64, p->d);
}

void put_together(const Format *f, const Parts *p, uint8_t *b)
{
    switch (f - formats) {
    case FORMAT_q8_0: join_q8_0(p, b); break;
    case FORMAT_q2_k: join_q2_k(p, b); break;
    case FORMAT_q3_k: join_q3_k(p, b); break;
    case FORMAT_q4_k:
    case FORMAT_q5_k: join_q45_k(f, p, b); break;
    case FORMAT_q6_k: join_q6_k(p, b); break;
    case FORMAT_iq4_xs: join_iq4_xs(p, b); break;
    case FORMAT_mxfp4: join_mxfp4(p, b); break;
    case FORMAT_tq1_0: join_tq1_0(p, b); break;
    case FORMAT_tq2_0: join_tq2_0(p, b); break;
    default: small(f, p, b);
    }
}
