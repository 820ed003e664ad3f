/* Which kernels this CPU can run, and which to use. */
#include "blocks.h"

#include <string.h>

#if defined(__x86_64__)
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vnni");
}
#endif

/* Fastest first. */
static int collect(const Kernels *found[8])
{
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (has_avx512() && __builtin_cpu_supports("avx512vbmi")) found[n++] = &kernels_avx512vbmi;
    if (has_avx512()) found[n++] = &kernels_avx512;
    if (has_avx2()) found[n++] = &kernels_avx2;
#endif
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
        const Format *f = format_of(type - TYPE_PACKED);
        *form = ACT_BLOCK;
        return f ? k->blocks[f - formats] : NULL;
    }
    if (type == TYPE_SPLIT) {
        *form = ACT_BLOCK;
        return k->split;
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
