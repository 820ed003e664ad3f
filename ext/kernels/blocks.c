/* The block formats as a whole: to float32, and to the packed layout of the kernels (blocks.h). */
#include "blocks.h"

#include <string.h>

static float e8m0(uint16_t e)
{
    uint32_t bits = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23; /* half of 2^(e - 127) */
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

void blocks_dequantise(const Format *f, const uint8_t *data, int64_t n, float *out)
{
    Parts p;
    for (int64_t i = 0; i < n / f->values; i++, data += f->bytes, out += f->values) {
        f->take_apart(data, &p);
        float d = f->scaling == SCALE_E8M0 ? e8m0(p.d) : half_to_float(p.d) * table_unit(f->table);
        float dmin = half_to_float(p.dmin);
        for (int k = 0; k < f->values; k++) {
            int code = (f->table ? tables[f->table][p.code[k]] : p.code[k]) - f->offset, s = k / f->span;
            switch (f->scaling) {
            case SCALE_HALF:
            case SCALE_E8M0: out[k] = d * (float)code; break;
            case SCALE_HALF_MIN: out[k] = d * (float)code + dmin; break;
            case SCALE_INT:
            case SCALE_ODD: out[k] = d * (float)p.scale[s] * (float)code; break;
            default: out[k] = d * (float)p.scale[s] * (float)code - dmin * (float)p.min[s];
            }
        }
    }
}

size_t blocks_group_bytes(const Format *f, int cols)
{
    int unit = unit_columns(f->values);
    return (size_t)((cols + unit - 1) / unit) * (size_t)unit_bytes(f->values, f->bits, f->span, f->scaling);
}

/* The codes of one row in a stripe of 32 columns: dword `r` of each of its lines. */
static void pack_stripe(const uint8_t *code, int bits, int r, uint8_t *lines)
{
    uint32_t q[8], line[8] = {0};
    int low = bits == 8 ? 8 : bits >= 4 ? 4 : 2, per = 8 / low, tops = bits - low;
    uint32_t mask = 0x01010101u * ((1u << low) - 1);
    memcpy(q, code, 32);
    for (int p = 0; p < 8; p++) {
        line[tops + p / per] |= (q[p] & mask) << low * (p % per);
        uint32_t top = (q[p] & ~mask) >> low & 0x0f0f0f0fu;
        if (tops == 1) line[0] |= top << p;
        if (tops == 2) line[p / 4] |= top << 2 * (p % 4);
    }
    for (int l = 0; l < bits; l++) memcpy(lines + 64 * l + 4 * r, &line[l], 4);
}

static void put16(uint8_t *to, int r, uint16_t value) { memcpy(to + 2 * r, &value, 2); }

/* The scales of one row of block `b` of a unit. */
static void pack_scales(const Format *f, const Parts *p, int b, int r, uint8_t *to)
{
    int spans = f->values / f->span;
    switch (f->scaling) {
    case SCALE_HALF: put16(to + 32 * b, r, p->d); return;
    case SCALE_HALF_MIN:
        put16(to + 64 * b, r, p->d);
        put16(to + 64 * b + 32, r, p->dmin);
        return;
    case SCALE_E8M0: to[16 * b + r] = (uint8_t)p->d; return;
    case SCALE_NIBBLES:
        for (int s = 0; s < spans; s++) to[16 * s + r] = (uint8_t)(p->scale[s] | p->min[s] << 4);
        break;
    case SCALE_ODD:
        for (int s = 0; s < spans; s++) to[16 * (s / 2) + r] |= (uint8_t)(p->scale[s] >> 1 << 4 * (s % 2));
        break;
    default:
        for (int s = 0; s < spans; s++) {
            to[16 * s + r] = (uint8_t)p->scale[s];
            if (f->scaling == SCALE_INT_MIN) to[16 * (spans + s) + r] = p->min[s];
        }
    }
    to += factor_at(spans, f->scaling);
    put16(to, r, p->d);
    if (has_min(f->scaling)) put16(to + 32, r, p->dmin);
}

/* A group of rows; what of the codes lies above `low` bits in one place, and what is below in another. */
static void pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols, int low,
                       uint8_t *packed, uint8_t *fine)
{
    int unit = unit_columns(f->values), per = unit / f->values, blocks = cols / f->values, bits = f->bits - low;
    int size = unit_bytes(f->values, bits, f->span, f->scaling);
    Parts p;
    for (int b = 0; b < blocks; b++) {
        uint8_t *scales = packed + (size_t)(b / per) * (size_t)size;
        uint8_t *codes = scales + scale_bytes(f->values, f->span, f->scaling);
        for (int r = 0; r < rows; r++) {
            f->take_apart(data + (size_t)r * row_bytes + (size_t)b * (size_t)f->bytes, &p);
            for (int k = 0; k < f->values; k += STRIPE) {
                int stripe = (b % per * f->values + k) / STRIPE;
                uint8_t part[STRIPE];
                for (int i = 0; i < STRIPE; i++) part[i] = p.code[k + i] >> low;
                pack_stripe(part, bits, r, codes + stripe * bits * 64);
                if (!low) continue;
                for (int i = 0; i < STRIPE; i++) part[i] = p.code[k + i] & ((1 << low) - 1);
                pack_stripe(part, low, r, fine + (size_t)(b / per) * (size_t)code_bytes(f->values, low) + stripe * low * 64);
            }
            pack_scales(f, &p, b % per, r, scales);
        }
    }
}

void blocks_pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed)
{
    memset(packed, 0, blocks_group_bytes(f, cols)); /* what is missing: a scale of zero */
    pack_group(f, data, row_bytes, rows, cols, 0, packed, NULL);
}

#define SPLIT_TYPE(name, ...) || format->type == formats[FORMAT_##name].type
int split_exists(int type)
{
    const Format *format = format_of(type);
    return format && (0 EACH_SPLIT(SPLIT_TYPE));
}

static size_t units(const Format *f, int cols)
{
    return (size_t)((cols + unit_columns(f->values) - 1) / unit_columns(f->values));
}

size_t split_coarse_bytes(const Format *f, int cols)
{
    return units(f, cols) * (size_t)unit_bytes(f->values, 4, f->span, f->scaling);
}

size_t split_fine_bytes(const Format *f, int cols) { return units(f, cols) * (size_t)code_bytes(f->values, f->bits - 4); }

void split_pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *coarse,
                      uint8_t *fine)
{
    memset(coarse, 0, split_coarse_bytes(f, cols));
    memset(fine, 0, split_fine_bytes(f, cols));
    pack_group(f, data, row_bytes, rows, cols, f->bits - 4, coarse, fine);
}
