/* AVX-512 with VNNI (Ice Lake, Zen 4 and later); included by kernels_avx512vbmi.c too. */
#include "sterna.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#ifdef VBMI
#define NAME(x) avx512vbmi_##x
#define SET kernels_avx512vbmi
#define SET_NAME "avx512vbmi"
#else
#define NAME(x) avx512_##x
#define SET kernels_avx512
#define SET_NAME "avx512"
#endif
#define VW 16
#define load_half(p) ((VecF)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p))))
#define store_half_vec(p, v) \
    _mm256_storeu_si256((__m256i *)(p), _mm512_cvtps_ph((__m512)(v), _MM_FROUND_TO_NEAREST_INT))
#include "float_ops.inc"
#include "quantise.inc"
#include "ternary_avx512.inc"
#ifdef VBMI
#include "trits_avx512.inc"
#endif

static inline float read_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}

static inline void NAME(unpack_q8_0)(const uint8_t *data, int n, Unpacked *u)
{
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    for (int b = 0; b < n / 32; b++, data += 34) {
        __m256i c = _mm256_loadu_si256((const __m256i *)(data + 2));
        _mm256_store_si256((__m256i *)(u->code + 32 * b), _mm256_xor_si256(c, flip));
        float d = read_half(data);
        u->scale[2 * b] = u->scale[2 * b + 1] = d;
        u->min[2 * b] = u->min[2 * b + 1] = 128 * d;
    }
}

static inline void NAME(unpack_q4_0)(const uint8_t *data, int n, Unpacked *u)
{
    const __m128i low = _mm_set1_epi8(15);
    for (int b = 0; b < n / 32; b++, data += 18) {
        __m128i c = _mm_loadu_si128((const __m128i *)(data + 2));
        _mm_store_si128((__m128i *)(u->code + 32 * b), _mm_and_si128(c, low));
        _mm_store_si128((__m128i *)(u->code + 32 * b + 16), _mm_and_si128(_mm_srli_epi16(c, 4), low));
        float d = read_half(data);
        u->scale[2 * b] = u->scale[2 * b + 1] = d;
        u->min[2 * b] = u->min[2 * b + 1] = 8 * d;
    }
}

static inline void NAME(unpack_q6_k)(const uint8_t *data, int n, Unpacked *u)
{
    const __m256i low = _mm256_set1_epi8(15), two = _mm256_set1_epi8(0x30);
    for (int b = 0; b < n / 256; b++, data += 210) {
        for (int h = 0; h < 2; h++) {
            uint8_t *c = u->code + 256 * b + 128 * h;
            __m256i l0 = _mm256_loadu_si256((const __m256i *)(data + 64 * h));
            __m256i l1 = _mm256_loadu_si256((const __m256i *)(data + 64 * h + 32));
            __m256i qh = _mm256_loadu_si256((const __m256i *)(data + 128 + 32 * h));
            __m256i c0 = _mm256_or_si256(_mm256_and_si256(l0, low), _mm256_and_si256(_mm256_slli_epi16(qh, 4), two));
            __m256i c1 = _mm256_or_si256(_mm256_and_si256(l1, low), _mm256_and_si256(_mm256_slli_epi16(qh, 2), two));
            __m256i c2 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l0, 4), low), _mm256_and_si256(qh, two));
            __m256i c3 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l1, 4), low),
                                         _mm256_and_si256(_mm256_srli_epi16(qh, 2), two));
            _mm256_store_si256((__m256i *)c, c0);
            _mm256_store_si256((__m256i *)(c + 32), c1);
            _mm256_store_si256((__m256i *)(c + 64), c2);
            _mm256_store_si256((__m256i *)(c + 96), c3);
        }
        __m128i s8 = _mm_loadu_si128((const __m128i *)(data + 192));
        __m512 scale = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(s8)),
                                     _mm512_set1_ps(read_half(data + 208)));
        _mm512_store_ps(u->scale + 16 * b, scale);
        _mm512_store_ps(u->min + 16 * b, _mm512_mul_ps(scale, _mm512_set1_ps(32)));
    }
}

/* 256 values at a time: a register of 16 scales serves four of products, each 128-bit lane of which
 * is one block. What is left (a multiple of 32) goes the plain way. */
static inline float NAME(dot)(const Unpacked *u, const int8_t *q, const float *scale, const float *sum, int n)
{
    const __m512i spread = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    const __m512i four = _mm512_set1_epi32(4);
    __m512 acc0 = _mm512_setzero_ps(), acc1 = acc0;
    int k = 0;
    for (; k + 256 <= n; k += 256) {
        int b = k / BLOCK;
        __m512 s = _mm512_mul_ps(_mm512_load_ps(u->scale + b), _mm512_loadu_ps(scale + b));
        __m512i at = spread;
        acc1 = _mm512_fnmadd_ps(_mm512_load_ps(u->min + b), _mm512_loadu_ps(sum + b), acc1);
        for (int j = 0; j < 4; j++) {
            __m512i dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_load_si512(u->code + k + 64 * j),
                                              _mm512_loadu_si512(q + k + 64 * j));
            acc0 = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_permutexvar_ps(at, s), acc0);
            at = _mm512_add_epi32(at, four);
        }
    }
    float rest = 0;
    for (; k < n; k += BLOCK) {
        int b = k / BLOCK;
        __m128i dot = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_load_si128((const __m128i *)(u->code + k)),
                                       _mm_loadu_si128((const __m128i *)(q + k)));
        dot = _mm_add_epi32(dot, _mm_shuffle_epi32(dot, 0x4e));
        dot = _mm_add_epi32(dot, _mm_shuffle_epi32(dot, 0xb1));
        rest += u->scale[b] * scale[b] * (float)_mm_cvtsi128_si32(dot) - u->min[b] * sum[b];
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(acc0, acc1)) + rest;
}

#define avx512_unpack_tq1_0 unpack_tq1_0
#define avx512_unpack_tq2_0 unpack_tq2_0
#define avx512vbmi_unpack_tq1_0 unpack_tq1_0
#define avx512vbmi_unpack_tq2_0 unpack_tq2_0
#include "blocks.inc"
#include "q6_avx512.inc"

const Kernels SET = {
    .name = SET_NAME, .ternary = avx512_ternary, .q6_group = avx512_q6_group,
#ifdef VBMI
    .trits = avx512_trits,
#endif
    .f32 = NAME(f32), .f16 = NAME(f16),
    .bf16 = NAME(bf16), .q8_0 = NAME(q8_0), .q4_0 = NAME(q4_0), .q6_k = NAME(q6_k),
    .tq1_0 = NAME(tq1_0), .tq2_0 = NAME(tq2_0),
    .rms_norm = NAME(rms_norm), .quantise_row = NAME(quantise_row),
    .quantise_block = NAME(quantise_block), .attend = NAME(attend), .glu = NAME(glu),
    .add = NAME(add), .store_half = NAME(store_half), .sum_exp = NAME(sum_exp), .read = NAME(read),
};
