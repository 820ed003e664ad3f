/* Ternary formats, and our two packings of them.
 *
 * TQ2_0  256 values: u8 q[64], f16 d; byte 32b+m holds 128b+m+32n in bits 2n      w = d (q - 1)
 * TQ1_0  256 values: u8 q[48], u8 qh[4], f16 d; base 3, see trit()
 * I2_S   rows of a tensor without gaps: 128 values in 32 bytes, byte m holds m+32n in bits 6-2n;
 *        one f32 scale after all rows
 *
 * Packed, 16 rows a group, a line of 64 bytes being a dword of each row: in two bits a line holds 16
 * columns, columns 4p..4p+3 in bits 2p of the bytes; in trits it holds 20, as digits of base 3. */
#include "bytes.h"
#include "ternary.h"
#include "sterna.h"

#include <string.h>

/* Digit n (0 first) of a TQ1_0 byte: the byte is ceil(v * 256 / 243) of the base-3 number v. */
static int trit(uint8_t byte, int n)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    return ((uint8_t)(byte * power[n]) * 3) >> 8;
}

void codes_tq1_0(const uint8_t *b, uint8_t *c)
{
    for (int n = 0; n < 5; n++)
        for (int m = 0; m < 32; m++) c[32 * n + m] = (uint8_t)trit(b[m], n);
    for (int n = 0; n < 5; n++)
        for (int m = 0; m < 16; m++) c[160 + 16 * n + m] = (uint8_t)trit(b[32 + m], n);
    for (int n = 0; n < 4; n++)
        for (int m = 0; m < 4; m++) c[240 + 4 * n + m] = (uint8_t)trit(b[48 + m], n);
}

void codes_tq2_0(const uint8_t *b, uint8_t *c)
{
    for (int half = 0; half < 2; half++)
        for (int n = 0; n < 4; n++)
            for (int m = 0; m < 32; m++) c[128 * half + 32 * n + m] = b[32 * half + m] >> (2 * n) & 3;
}

void codes_i2_s(const uint8_t *b, uint8_t *c)
{
    for (int n = 0; n < 4; n++)
        for (int m = 0; m < 32; m++) c[32 * n + m] = b[m] >> (6 - 2 * n) & 3;
}

size_t ternary_group_bytes(int packing, int cols)
{
    return packing == TYPE_TRITS ? (size_t)(cols + TRIT_COLUMNS - 1) / TRIT_COLUMNS * 64 : (size_t)cols / 16 * 64;
}

/* A row's codes, and the scale that its blocks share. All-zero blocks carry no information on it. */
static int row_codes(int type, const uint8_t *row, int cols, uint8_t *codes, float *scale)
{
    int uniform = 1;
    *scale = 0;
    if (type == TYPE_I2_S) {
        for (int i = 0; i < cols / 128; i++) codes_i2_s(row + 32 * i, codes + 128 * i);
        return 1;
    }
    for (int i = 0; i < cols / 256; i++) {
        const uint8_t *b = row + (type == TYPE_TQ1_0 ? 54 : 66) * i;
        uint8_t *c = codes + 256 * i;
        float d = half_to_float(read16(b + (type == TYPE_TQ1_0 ? 52 : 64)));
        (type == TYPE_TQ1_0 ? codes_tq1_0 : codes_tq2_0)(b, c);
        if (d == 0) {
            memset(c, 1, 256);
        } else if (*scale == 0) {
            *scale = d;
        } else if (d != *scale) {
            uniform = 0;
        }
    }
    return uniform;
}

static void pack_crumbs(const uint8_t *codes, int cols, uint8_t *to)
{
    for (int k = 0; k < cols; k += 16, to += 64) {
        uint32_t v[4];
        memcpy(v, codes + k, 16);
        v[0] |= v[1] << 2 | v[2] << 4 | v[3] << 6;
        memcpy(to, v, 4);
    }
}

/* Four bytes at once: no digit carries into the next byte, for a byte stays below 243. */
static void pack_trits(const uint8_t *codes, int cols, uint8_t *to)
{
    for (int k = 0; k < cols; k += TRIT_COLUMNS, to += 64) {
        uint32_t v[5];
        memcpy(v, codes + k, 20);
        v[0] += v[1] * 3 + v[2] * 9 + v[3] * 27 + v[4] * 81;
        memcpy(to, v, 4);
    }
}

int ternary_pack_group(int packing, int type, const uint8_t *data, size_t row_bytes, int rows, int cols,
                       uint8_t *packed, float *scale)
{
    uint8_t codes[cols + TRIT_COLUMNS]; /* the loader bounds the length of a row */
    int found = 0;
    memset(codes + cols, 1, TRIT_COLUMNS);
    for (int r = 0; r < ROW_GROUP; r++) {
        scale[r] = 0;
        if (r < rows) {
            uint8_t seen = 0;
            if (!row_codes(type, data + (size_t)r * row_bytes, cols, codes, scale + r)) found |= PACK_UNEVEN;
            for (int k = 0; k < cols; k++) seen |= codes[k] & codes[k] >> 1;
            if (seen & 1) found |= PACK_NO_TRITS;
        } else {
            memset(codes, 1, (size_t)cols);
        }
        (packing == TYPE_TRITS ? pack_trits : pack_crumbs)(codes, cols, packed + 4 * r);
    }
    return found;
}
