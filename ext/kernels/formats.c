/* Values of a file as float32: exact, in the order of the file. */
#include "blocks.h"
#include "ternary.h"

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

size_t type_row_bytes(int type, int64_t cols)
{
    const Format *f = format_of(type);
    if (f) return cols % f->values ? 0 : (size_t)(cols / f->values) * (size_t)f->bytes;
    switch (type) {
    case TYPE_F32: return (size_t)cols * 4;
    case TYPE_F16:
    case TYPE_BF16: return (size_t)cols * 2;
    case TYPE_I2_S: return cols % 128 ? 0 : (size_t)cols / 4;
    }
    return 0;
}

int dequantise(int type, const uint8_t *data, int64_t n, float *out)
{
    const Format *f = format_of(type);
    if (f) {
        blocks_dequantise(f, data, n, out);
        return 0;
    }
    switch (type) {
    case TYPE_F32: memcpy(out, data, (size_t)n * 4); return 0;
    case TYPE_F16:
    case TYPE_BF16:
        for (int64_t i = 0; i < n; i++, data += 2) {
            uint16_t h = (uint16_t)(data[0] | data[1] << 8);
            uint32_t bits = (uint32_t)h << 16;
            if (type == TYPE_F16)
                out[i] = half_to_float(h);
            else
                memcpy(out + i, &bits, 4);
        }
        return 0;
    case TYPE_I2_S: { /* a whole tensor: its scale lies behind it */
        uint8_t codes[128];
        float d;
        memcpy(&d, data + n / 4, 4);
        for (int64_t i = 0; i < n / 128; i++) {
            codes_i2_s(data + 32 * i, codes);
            for (int j = 0; j < 128; j++) out[128 * i + j] = d * (float)(codes[j] - 1);
        }
        return 0;
    }
    }
    return -1;
}
