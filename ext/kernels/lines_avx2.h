/* Sixteen rows at once in two 256-bit registers: AVX2, and with DOT_INSTRUCTION its VNNI form. */
#include <immintrin.h>
#include <string.h>

typedef struct { __m256i a, b; } Line;
typedef struct { __m256i a, b; } Ints;
typedef struct { __m256 a, b; } Floats;

#define EACH_LANE(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define EACH_OF_FEW(X) X(0) X(1) X(2) X(3)
enum { LANES = 6, FEW = 4 };

/* For the vectors of float_ops.inc, where compilers do not see the instruction. */
#define vec_greater(a, b) ((VecF)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define vec_bytes(v) ((VecB)bytes_of_ints((__m256i)(v)))
static inline long long bytes_of_ints(__m256i v)
{
    const __m256i first = _mm256_set1_epi32(0x0c080400); /* of each four bytes */
    __m256i packed = _mm256_shuffle_epi8(v, first);
    return _mm_cvtsi128_si64(_mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1)));
}

static inline __m256i load32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline Line line_load(const uint8_t *p) { return (Line){load32(p), load32(p + 32)}; }
static inline void line_store(uint8_t *p, Line x)
{
    _mm256_storeu_si256((__m256i *)p, x.a);
    _mm256_storeu_si256((__m256i *)(p + 32), x.b);
}
static inline Line line_mask(Line x, int byte)
{
    __m256i m = _mm256_set1_epi8((char)byte);
    return (Line){_mm256_and_si256(x.a, m), _mm256_and_si256(x.b, m)};
}
static inline Line line_or(Line x, Line y) { return (Line){_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
static inline Line line_right(Line x, int n)
{
    __m128i s = _mm_cvtsi32_si128(n);
    return (Line){_mm256_srl_epi16(x.a, s), _mm256_srl_epi16(x.b, s)};
}
static inline Line line_left(Line x, int n)
{
    __m128i s = _mm_cvtsi32_si128(n);
    return (Line){_mm256_sll_epi16(x.a, s), _mm256_sll_epi16(x.b, s)};
}
static inline Line line_lookup(Line x, const uint8_t *table)
{
    __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
    return (Line){_mm256_shuffle_epi8(t, x.a), _mm256_shuffle_epi8(t, x.b)};
}

/* sum + products of pairs of words */
static inline __m256i words8(__m256i sum, __m256i code, __m256i q)
{
    __m256i t;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(t) : "x"(code), "x"(q));
    return sum;
}
/* x += MULTIPLY of w and v, line by line. The instructions themselves: of the intrinsics, compilers make copies of the
 * sums, and put them away. Both multiplications come first: Zen 3 multiplies in two of its four pipes, and gives
 * fewer of the additions to these (1.6 multiplications a cycle rather than 1.5). */
#define ADD_PRODUCTS(MULTIPLY, ADD, x, w, v)                                                                  \
    do {                                                                                                      \
        __m256i v_ = (v), t_;                                                                                 \
        __asm__(MULTIPLY " %3, %4, %2\n\t" MULTIPLY " %3, %5, %3\n\t" ADD " %2, %0, %0\n\t" ADD " %3, %1, %1" \
                : "+x"((x).a), "+x"((x).b), "=&x"(t_), "+x"(v_)                                               \
                : "x"((w).a), "x"((w).b));                                                                    \
    } while (0)

/* integers of -32767 to 32767 as words */
static inline __m128i words_of_ints(__m256i v)
{
    return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
/* Sixteen int8 of each of two rows as pairs of words: columns 0-3 and 8-11, columns 4-7 and 12-15. */
#define WORD_PAIRS
static inline void word_pairs(const int8_t *one, const int8_t *other, __m256i *low, __m256i *high)
{
    __m256i a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)one));
    __m256i b = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)other));
    *low = _mm256_unpacklo_epi16(a, b);
    *high = _mm256_unpackhi_epi16(a, b);
}
/* sums over such pairs, to float32 in the order of the columns */
static inline __m256 first_columns(__m256i low, __m256i high)
{
    return _mm256_cvtepi32_ps(_mm256_permute2x128_si256(low, high, 0x20));
}
static inline __m256 last_columns(__m256i low, __m256i high)
{
    return _mm256_cvtepi32_ps(_mm256_permute2x128_si256(low, high, 0x31));
}

static inline __m256i word(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm256_set1_epi32(v);
}

static inline Ints ints_set(int32_t v) { return (Ints){_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
static inline Ints ints_load(const int32_t *p) { return (Ints){load32(p), load32(p + 8)}; }
static inline void ints_store(int32_t *p, Ints x)
{
    _mm256_storeu_si256((__m256i *)p, x.a);
    _mm256_storeu_si256((__m256i *)(p + 8), x.b);
}
static inline Ints ints_add(Ints x, Ints y) { return (Ints){_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }

#ifdef DOT_INSTRUCTION
#define CODE_SHIFT 0
#define READ_AHEAD kernels_read_ahead
static inline Ints ints_dot(Ints x, Line w, const int8_t *q)
{
    __m256i v = word(q);
    return (Ints){DOT_INSTRUCTION(x.a, w.a, v), DOT_INSTRUCTION(x.b, w.b, v)};
}
#define ints_dot_wide ints_dot
#else
/* Pairs of products go to 16 bits first, and several of them gather there: PAIRS_HOLD quads of codes up
 * to `most` cannot overflow. Wide codes are signed, less CODE_SHIFT, for |code| * |q| stays below 2^14. */
#define CODE_SHIFT 128
#define READ_AHEAD 4096 /* Zen 3: 1.4 times as fast */
#define PAIRS_HOLD(most) ((most) <= 3 ? 40 : (most) <= 15 ? 8 : (most) <= 31 ? 4 : (most) <= 63 ? 2 : 1)
typedef struct { __m256i a, b; } Pairs;

static inline Pairs pairs_zero(void) { return (Pairs){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
static inline Pairs pairs_begin(Line w, const int8_t *q)
{
    __m256i v = word(q);
    return (Pairs){_mm256_maddubs_epi16(w.a, v), _mm256_maddubs_epi16(w.b, v)};
}
static inline Pairs pairs_dot(Pairs x, Line w, const int8_t *q)
{
    ADD_PRODUCTS("vpmaddubsw", "vpaddw", x, w, word(q));
    return x;
}
/* x + the pairs, each times `by` */
static inline Ints ints_gather(Ints x, Pairs p, int by)
{
    __m256i v = _mm256_set1_epi16((short)by);
    return (Ints){_mm256_add_epi32(x.a, _mm256_madd_epi16(p.a, v)), _mm256_add_epi32(x.b, _mm256_madd_epi16(p.b, v))};
}
/* the pairs, times a whole number of each row: what widens them multiplies as well */
typedef struct { __m256i a, b; } Factors;
static inline Ints ints_scaled(Pairs p, Factors by) { return (Ints){_mm256_madd_epi16(p.a, by.a), _mm256_madd_epi16(p.b, by.b)}; }
static inline Factors factors_of_bytes(const uint8_t *p, int mask)
{
    /* byte r to both halves of dword r; what has the top bit set is zero */
    const __m256i rows = _mm256_setr_epi64x(0x8001800180008000, 0x8003800380028002, 0x8005800580048004, 0x8007800780068006);
    __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    if (mask < 255) v = _mm256_and_si256(v, _mm256_set1_epi8((char)mask));
    return (Factors){_mm256_shuffle_epi8(v, rows), _mm256_shuffle_epi8(v, _mm256_add_epi8(rows, _mm256_set1_epi16(8)))};
}
/* int8 scales, times 256: a byte to the upper halves of both words of its row */
static inline Factors factors_of_signed(const uint8_t *p)
{
    const __m256i rows = _mm256_setr_epi64x(0x0180018000800080, 0x0380038002800280, 0x0580058004800480, 0x0780078006800680);
    __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    return (Factors){_mm256_shuffle_epi8(v, rows), _mm256_shuffle_epi8(v, _mm256_add_epi8(rows, _mm256_set1_epi16(0x0800)))};
}
/* the squares of such scales of two spans by an energy each, added up */
static inline __m256i squares8(__m256i one, __m256i other, __m256i energy)
{
    __m256i s = _mm256_blend_epi16(one, other, 0xaa);
    return _mm256_madd_epi16(_mm256_mulhi_epi16(s, s), energy);
}
static inline Ints squares_by(Factors one, Factors other, const int16_t *energy)
{
    __m256i v = word((const int8_t *)energy);
    return (Ints){squares8(one.a, other.a, v), squares8(one.b, other.b, v)};
}
static inline Pairs pairs_set(const int16_t *halves)
{
    __m256i v = word((const int8_t *)halves);
    return (Pairs){v, v};
}
static inline Pairs pairs_add(Pairs x, Pairs y) { return (Pairs){_mm256_add_epi16(x.a, y.a), _mm256_add_epi16(x.b, y.b)}; }
static inline Factors factors_load(const int16_t *p) { return (Factors){load32(p), load32(p + 16)}; }
static inline void factors_store(int16_t *p, Factors x)
{
    _mm256_storeu_si256((__m256i *)p, x.a);
    _mm256_storeu_si256((__m256i *)(p + 16), x.b);
}
/* sum + products of codes of seven bits */
static inline __m256i dot8(__m256i sum, __m256i code, __m256i q)
{
    static const int16_t ones[16] __attribute__((aligned(32))) = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    __m256i t;
    __asm__("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
            : "+x"(sum), "=&x"(t)
            : "x"(code), "x"(q), "m"(*(const __m256i *)ones));
    return sum;
}
static inline Ints ints_dot(Ints x, Line w, const int8_t *q)
{
    __m256i v = word(q);
    return (Ints){dot8(x.a, w.a, v), dot8(x.b, w.b, v)};
}
/* sum + |code| * q with the sign of the code */
static inline __m256i dot_wide8(__m256i sum, __m256i code, __m256i q)
{
    __m256i size = _mm256_abs_epi8(code), t;
    __asm__("vpsignb %2, %4, %1\n\tvpmaddubsw %1, %3, %1\n\tvpmaddwd %5, %1, %1\n\tvpaddd %1, %0, %0"
            : "+x"(sum), "=&x"(t)
            : "x"(code), "x"(size), "x"(q), "x"(_mm256_set1_epi16(1)));
    return sum;
}
static inline Ints ints_dot_wide(Ints x, Line w, const int8_t *q)
{
    __m256i v = word(q);
    return (Ints){dot_wide8(x.a, w.a, v), dot_wide8(x.b, w.b, v)};
}
/* For tiles wide codes are made words, even and odd columns apart, and so are the activations: two products and
 * two sums for what takes four multiplications above. */
#define WORDS
static inline Line line_even(Line x)
{
    x = line_left(x, 8);
    return (Line){_mm256_srai_epi16(x.a, 8), _mm256_srai_epi16(x.b, 8)};
}
static inline Line line_odd(Line x) { return (Line){_mm256_srai_epi16(x.a, 8), _mm256_srai_epi16(x.b, 8)}; }
static inline Line line_signed(Line x)
{
    const __m256i top = _mm256_set1_epi8((char)0x80);
    return (Line){_mm256_xor_si256(x.a, top), _mm256_xor_si256(x.b, top)};
}
static inline Ints ints_begin_words(Line w, const int8_t *q)
{
    __m256i v = word(q);
    return (Ints){_mm256_madd_epi16(w.a, v), _mm256_madd_epi16(w.b, v)};
}
static inline Ints ints_dot_words(Ints x, Line w, const int8_t *q)
{
    ADD_PRODUCTS("vpmaddwd", "vpaddd", x, w, word(q));
    return x;
}
#endif

static inline Floats floats_zero(void) { return (Floats){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
static inline Floats floats_set(float v) { return (Floats){_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
static inline Floats floats_load(const float *p) { return (Floats){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline void floats_store(float *p, Floats x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
static inline Floats floats_add(Floats x, Floats y) { return (Floats){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
static inline Floats floats_mul(Floats x, Floats y) { return (Floats){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
static inline Floats floats_fma(Floats x, Floats y, Floats z)
{
    return (Floats){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
static inline Floats floats_fnma(Floats x, Floats y, Floats z)
{
    return (Floats){_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
static inline Floats floats_of_ints(Ints x) { return (Floats){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
static inline Floats floats_of_halves(const uint8_t *p)
{
    return (Floats){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                    _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 16)))};
}
static inline Floats floats_of_int8(const uint8_t *p)
{
    return floats_of_ints((Ints){_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)),
                                 _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))});
}
static inline Floats floats_of_nibbles(const uint8_t *p, int shift)
{
    const __m128i low = _mm_set1_epi8(15);
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    v = _mm_and_si128(shift ? _mm_srli_epi16(v, 4) : v, low);
    return floats_of_ints((Ints){_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8))});
}
/* half of 2^(e - 127), but 0 for e = 0 */
static inline __m256 powers8(const uint8_t *e)
{
    __m256i bits = _mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)e)), 23);
    return _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0.5f));
}
static inline Floats floats_of_powers(const uint8_t *e) { return (Floats){powers8(e), powers8(e + 8)}; }
