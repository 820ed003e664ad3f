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

/* The bits of a stripe of one row that are not in the first place of a split matrix: `at` is the unit. */
static void pack_rest(const Format *f, const uint8_t *code, int r, int unit, int stripe, uint8_t *const parts[SPLIT_PARTS])
{
    int below = f->bits - UPPER_BITS;
    for (int part = SPLIT_MIDDLE; part < SPLIT_PARTS; part++) {
        int bits = split_bits(f->bits, part);
        uint8_t some[STRIPE];
        below -= bits;
        for (int i = 0; i < STRIPE; i++) some[i] = code[i] >> below & ((1 << bits) - 1);
        pack_stripe(some, bits, r, parts[part] + (size_t)unit * (size_t)code_bytes(f->values, bits) + stripe * bits * 64);
    }
}

void pack_block(const Format *f, const Parts *p, int block, int r, int bits, uint8_t *packed)
{
    int per = unit_columns(f->values) / f->values;
    uint8_t *scales = packed + (size_t)(block / per) * (size_t)unit_bytes(f->values, bits, f->span, f->scaling);
    uint8_t *codes = scales + scale_bytes(f->values, f->span, f->scaling);
    for (int k = 0; k < f->values; k += STRIPE) {
        uint8_t upper[STRIPE];
        for (int i = 0; i < STRIPE; i++) upper[i] = p->code[k + i] >> (f->bits - bits);
        pack_stripe(upper, bits, r, codes + (block % per * f->values + k) / STRIPE * bits * 64);
    }
    pack_scales(f, p, block % per, r, scales);
}

/* A group of rows; where `parts` is given, only the upper bits of the codes to `packed`, and the others there. */
static void pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed,
                       uint8_t *const *parts)
{
    const int per = unit_columns(f->values) / f->values, blocks = cols / f->values;
    Parts p;
    for (int b = 0; b < blocks; b++)
        for (int r = 0; r < rows; r++) {
            f->take_apart(data + (size_t)r * row_bytes + (size_t)b * (size_t)f->bytes, &p);
            pack_block(f, &p, b, r, parts ? UPPER_BITS : f->bits, packed);
            for (int k = 0; parts && k < f->values; k += STRIPE)
                pack_rest(f, p.code + k, r, b / per, (b % per * f->values + k) / STRIPE, parts);
        }
}

void blocks_pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols, uint8_t *packed)
{
    memset(packed, 0, blocks_group_bytes(f, cols)); /* what is missing: a scale of zero */
    pack_group(f, data, row_bytes, rows, cols, packed, NULL);
}

#define SPLIT_TYPE(name, ...) || format->type == formats[FORMAT_##name].type
int split_exists(int type, int cols)
{
    const Format *format = format_of(type);
    return format && cols <= SPLIT_COLUMNS && (0 EACH_SPLIT(SPLIT_TYPE));
}

static size_t units(const Format *f, int cols)
{
    return (size_t)((cols + unit_columns(f->values) - 1) / unit_columns(f->values));
}

size_t split_bytes(const Format *f, int cols, int part)
{
    int bits = split_bits(f->bits, part);
    return units(f, cols)
        * (size_t)(part == SPLIT_UPPER ? unit_bytes(f->values, bits, f->span, f->scaling) : code_bytes(f->values, bits));
}

void split_pack_group(const Format *f, const uint8_t *data, size_t row_bytes, int rows, int cols,
                      uint8_t *const parts[SPLIT_PARTS])
{
    for (int part = 0; part < SPLIT_PARTS; part++) memset(parts[part], 0, split_bytes(f, cols, part));
    pack_group(f, data, row_bytes, rows, cols, parts[SPLIT_UPPER], parts);
}
