/* Block layouts of GGUF, and the reference that every fast kernel is tested against.
 *
 * F32, F16, BF16   plain
 * Q8_0   32 values: f16 d, int8 q[32]                       w = d q
 * Q4_0   32 values: f16 d, u8 q[16]; low nibbles 0..15, high nibbles 16..31    w = d (q - 8)
 * Q6_K   256 values: u8 ql[128], u8 qh[64], int8 scale[16], f16 d    w = d scale (q - 32)
 *        each half of 128 values: ql[l] low nibble -> l, ql[32+l] low -> 32+l, ql[l] high -> 64+l,
 *        ql[32+l] high -> 96+l; two more bits from qh[l] at 0, 2, 4, 6
 * TQ2_0  256 values: u8 q[64], f16 d; byte 32b+m holds 128b+m+32n in bits 2n      w = d (q - 1)
 * TQ1_0  256 values: u8 q[48], u8 qh[4], f16 d; base 3, see trit()
 * I2_S   rows of a tensor without gaps: 128 values in 32 bytes, byte m holds m+32n in bits 6-2n;
 *        one f32 scale after all rows
 */
#include "sterna.h"

#include <string.h>

float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
    uint32_t bits;
    float f;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | mantissa << 13;
    } else if (exponent) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else { /* subnormal: exact in float32 */
        f = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &f, 4);
        bits |= sign;
    }
    memcpy(&f, &bits, 4);
    return f;
}

uint16_t float_to_half(float f)
{
    uint32_t bits, sign, mantissa;
    int exponent;
    memcpy(&bits, &f, 4);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits >= 0x7f800000) return (uint16_t)(sign | 0x7c00 | (bits > 0x7f800000 ? 0x200 : 0));
    if (bits >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* rounds past 65504 */
    exponent = (int)(bits >> 23) - 112;
    if (exponent <= 0) { /* subnormal or zero, ties to even */
        uint32_t shift;
        if (exponent < -10) return (uint16_t)sign;
        mantissa = (bits & 0x7fffff) | 0x800000;
        shift = (uint32_t)(14 - exponent);
        uint32_t half = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
        if (rest > tie || (rest == tie && (half & 1))) half++;
        return (uint16_t)(sign | half);
    }
    mantissa = bits + 0xfff + (bits >> 13 & 1); /* round to nearest even on 13 dropped bits */
    return (uint16_t)(sign | ((mantissa >> 13) - (112u << 10)));
}

static uint16_t read16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

/* Digit n (0 first) of a TQ1_0 byte: the byte is ceil(v * 256 / 243) of the base-3 number v. */
static int trit(uint8_t byte, int n)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    return ((uint8_t)(byte * power[n]) * 3) >> 8;
}

static void codes_tq1_0(const uint8_t *b, uint8_t *c)
{
    for (int n = 0; n < 5; n++)
        for (int m = 0; m < 32; m++) c[32 * n + m] = (uint8_t)trit(b[m], n);
    for (int n = 0; n < 5; n++)
        for (int m = 0; m < 16; m++) c[160 + 16 * n + m] = (uint8_t)trit(b[32 + m], n);
    for (int n = 0; n < 4; n++)
        for (int m = 0; m < 4; m++) c[240 + 4 * n + m] = (uint8_t)trit(b[48 + m], n);
}

static void codes_tq2_0(const uint8_t *b, uint8_t *c)
{
    for (int half = 0; half < 2; half++)
        for (int n = 0; n < 4; n++)
            for (int m = 0; m < 32; m++) c[128 * half + 32 * n + m] = b[32 * half + m] >> (2 * n) & 3;
}

static void codes_i2_s(const uint8_t *b, uint8_t *c)
{
    for (int n = 0; n < 4; n++)
        for (int m = 0; m < 32; m++) c[32 * n + m] = b[m] >> (6 - 2 * n) & 3;
}

static void row_q6_k(const uint8_t *b, float *out)
{
    const int8_t *scale = (const int8_t *)b + 192;
    float d = half_to_float(read16(b + 208));
    for (int h = 0; h < 2; h++) {
        const uint8_t *ql = b + 64 * h, *qh = b + 128 + 32 * h;
        for (int l = 0; l < 32; l++) {
            int q[4] = {(ql[l] & 15) | (qh[l] & 3) << 4, (ql[32 + l] & 15) | (qh[l] >> 2 & 3) << 4,
                        ql[l] >> 4 | (qh[l] >> 4 & 3) << 4, ql[32 + l] >> 4 | qh[l] >> 6 << 4};
            for (int j = 0; j < 4; j++)
                out[128 * h + 32 * j + l] = d * scale[8 * h + 2 * j + l / 16] * (float)(q[j] - 32);
        }
    }
}

size_t type_row_bytes(int type, int64_t cols)
{
    static const struct { int type, block; size_t bytes; } table[] = {
        {TYPE_F32, 1, 4}, {TYPE_F16, 1, 2}, {TYPE_BF16, 1, 2}, {TYPE_Q8_0, 32, 34}, {TYPE_Q4_0, 32, 18},
        {TYPE_Q6_K, 256, 210}, {TYPE_TQ1_0, 256, 54}, {TYPE_TQ2_0, 256, 66}, {TYPE_I2_S, 128, 32},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].type == type) return cols % table[i].block ? 0 : (size_t)(cols / table[i].block) * table[i].bytes;
    return 0;
}

int dequantise(int type, const uint8_t *data, int64_t n, float *out)
{
    uint8_t codes[256];
    switch (type) {
    case TYPE_F32:
        memcpy(out, data, (size_t)n * 4);
        return 0;
    case TYPE_F16:
        for (int64_t i = 0; i < n; i++) out[i] = half_to_float(read16(data + 2 * i));
        return 0;
    case TYPE_BF16:
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits = (uint32_t)read16(data + 2 * i) << 16;
            memcpy(out + i, &bits, 4);
        }
        return 0;
    case TYPE_Q8_0:
        for (int64_t i = 0; i < n / 32; i++, data += 34) {
            float d = half_to_float(read16(data));
            for (int j = 0; j < 32; j++) out[32 * i + j] = d * (float)(int8_t)data[2 + j];
        }
        return 0;
    case TYPE_Q4_0:
        for (int64_t i = 0; i < n / 32; i++, data += 18) {
            float d = half_to_float(read16(data));
            for (int j = 0; j < 16; j++) {
                out[32 * i + j] = d * (float)((data[2 + j] & 15) - 8);
                out[32 * i + 16 + j] = d * (float)((data[2 + j] >> 4) - 8);
            }
        }
        return 0;
    case TYPE_Q6_K:
        for (int64_t i = 0; i < n / 256; i++) row_q6_k(data + 210 * i, out + 256 * i);
        return 0;
    case TYPE_I2_S: { /* a whole tensor: its scale lies behind it */
        float d;
        memcpy(&d, data + n / 4, 4);
        for (int64_t i = 0; i < n / 128; i++) {
            codes_i2_s(data + 32 * i, codes);
            for (int j = 0; j < 128; j++) out[128 * i + j] = d * (float)(codes[j] - 1);
        }
        return 0;
    }
    case TYPE_TQ1_0:
    case TYPE_TQ2_0:
        for (int64_t i = 0; i < n / 256; i++) {
            const uint8_t *b = data + (type == TYPE_TQ1_0 ? 54 : 66) * i;
            float d = half_to_float(read16(b + (type == TYPE_TQ1_0 ? 52 : 64)));
            (type == TYPE_TQ1_0 ? codes_tq1_0 : codes_tq2_0)(b, codes);
            for (int j = 0; j < 256; j++) out[256 * i + j] = d * (float)(codes[j] - 1);
        }
        return 0;
    }
    return -1;
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

/* Rows of a TQ type whose blocks differ in scale are no BitNet weights: they run as any block format. */
static void unpack_trits(int type, const uint8_t *data, int n, Unpacked *out)
{
    size_t bytes = type == TYPE_TQ1_0 ? 54 : 66;
    for (int b = 0; b < n / 256; b++, data += bytes) {
        float d = half_to_float(read16(data + bytes - 2));
        (type == TYPE_TQ1_0 ? codes_tq1_0 : codes_tq2_0)(data, out->code + 256 * b);
        for (int i = 0; i < 16; i++) out->scale[16 * b + i] = out->min[16 * b + i] = d;
    }
}

void unpack_tq1_0(const uint8_t *data, int n, Unpacked *out) { unpack_trits(TYPE_TQ1_0, data, n, out); }
void unpack_tq2_0(const uint8_t *data, int n, Unpacked *out) { unpack_trits(TYPE_TQ2_0, data, n, out); }

/* A block of 16 rows by 256 columns: for each 16 columns three lines of 64 bytes, dword r of a line
 * being row r. Line 0: low nibbles of columns 0..3 in the low half of each byte, of 4..7 in the high
 * half; line 1: the same of 8..15; line 2: the upper two bits of columns 4p..4p+3 in bits 2p. Then
 * int8 scales [16 column blocks][16 rows], then d as float16 [16 rows]. */
void q6_pack_group(const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed)
{
    Unpacked u;
    for (int b = 0; b < cols / 256; b++, packed += Q6_BLOCK) {
        memset(packed, 0, Q6_BLOCK); /* rows that are missing: scale and d of zero */
        for (int r = 0; r < rows; r++) {
            const uint8_t *block = data + (size_t)r * row_bytes + (size_t)b * 210;
            unpack_q6_k(block, 256, &u);
            for (int j = 0; j < 16; j++) {
                uint32_t v[4], lines[3];
                memcpy(v, u.code + 16 * j, 16);
                lines[0] = (v[0] & 0x0f0f0f0f) | (v[1] & 0x0f0f0f0f) << 4;
                lines[1] = (v[2] & 0x0f0f0f0f) | (v[3] & 0x0f0f0f0f) << 4;
                lines[2] = (v[0] >> 4 & 0x03030303) | (v[1] >> 2 & 0x0c0c0c0c) | (v[2] & 0x30303030)
                    | (v[3] << 2 & 0xc0c0c0c0);
                for (int l = 0; l < 3; l++) memcpy(packed + 192 * j + 64 * l + 4 * r, &lines[l], 4);
                packed[3072 + 16 * j + r] = block[192 + j];
            }
            memcpy(packed + 3328 + 2 * r, block + 208, 2);
        }
    }
}
