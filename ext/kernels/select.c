/* Which kernels this CPU can run, and which to use. */
#include "blocks.h"

#include <string.h>

int kernels_read_ahead = 0;

#if defined(__x86_64__)
#include <cpuid.h>

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static int has_avxvnni(void) /* leaf 7, subleaf 1, EAX bit 4 */
{
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vnni");
}

/* Sapphire Rapids decodes 1.4 to 1.7 times as fast when told what comes; Zen 4 at half the speed. */
static void choose_read_ahead(void) { kernels_read_ahead = __builtin_cpu_is("intel") ? 8192 : 0; }

static int collect_special(const Kernels *found[8])
{
    int n = 0;
    __builtin_cpu_init();
    choose_read_ahead();
    if (has_avx512() && __builtin_cpu_supports("avx512vbmi")) found[n++] = &kernels_avx512vbmi;
    if (has_avx512()) found[n++] = &kernels_avx512;
    if (has_avxvnni()) found[n++] = &kernels_avxvnni;
    if (has_avx512()) found[n++] = &kernels_avx512vl;
    if (has_avx2()) found[n++] = &kernels_avx2;
    return n;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

static int collect_special(const Kernels *found[8])
{
    int n = 0;
    unsigned long dot = 1ul << 20, i8mm = 1ul << 13; /* HWCAP_ASIMDDP, HWCAP2_I8MM */
    int has_dot = (getauxval(AT_HWCAP) & dot) != 0;
    if (has_dot && getauxval(AT_HWCAP2) & i8mm) found[n++] = &kernels_neon_i8mm;
    if (has_dot) found[n++] = &kernels_neon;
    return n;
}
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

static int has(const char *name)
{
    int value = 0;
    size_t size = sizeof value;
    return !sysctlbyname(name, &value, &size, NULL, 0) && value;
}

static int collect_special(const Kernels *found[8])
{
    int n = 0;
    if (has("hw.optional.arm.FEAT_I8MM")) found[n++] = &kernels_neon_i8mm;
    if (has("hw.optional.arm.FEAT_DotProd")) found[n++] = &kernels_neon;
    return n;
}
#else
static int collect_special(const Kernels *found[8])
{
    (void)found;
    return 0;
}
#endif

/* Fastest first. */
static int collect(const Kernels *found[8])
{
    int n = collect_special(found);
    found[n++] = &kernels_scalar;
    return n;
}

const Kernels *kernels_select(const char *wanted)
{
    const Kernels *found[8];
    int n = collect(found);
    if (!wanted || !*wanted) return found[0];
    for (int i = 0; i < n; i++)
        if (!strcmp(found[i]->name, wanted)) return found[i];
    return NULL;
}

int kernels_available(const char *names[8])
{
    const Kernels *found[8];
    int n = collect(found);
    for (int i = 0; i < n; i++) names[i] = found[i]->name;
    return n;
}

MatMul kernels_matmul(const Kernels *k, int type, int *form)
{
    if (type >= TYPE_PACKED) {
        const Format *f = format_of(type >= TYPE_SPLIT ? type - TYPE_SPLIT : type - TYPE_PACKED);
        *form = ACT_BLOCK;
        return !f ? NULL : type >= TYPE_SPLIT ? k->splits[f - formats] : k->blocks[f - formats];
    }
    *form = type == TYPE_TERNARY || type == TYPE_TRITS ? ACT_ROW : ACT_FLOAT;
    switch (type) {
    case TYPE_TERNARY: return k->ternary;
    case TYPE_TRITS: return k->trits;
    case TYPE_F32: return k->f32;
    case TYPE_F16: return k->f16;
    case TYPE_BF16: return k->bf16;
    }
    return NULL;
}

Screen kernels_screen(const Kernels *k, int type)
{
    const Format *f = type >= TYPE_SPLIT ? format_of(type - TYPE_SPLIT) : NULL;
    return f ? k->screens[f - formats] : NULL;
}
