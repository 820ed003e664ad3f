/* Which kernels this CPU can run, and which to use. */
#include "sterna.h"

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
    struct { int type, form; MatMul multiply; } table[] = {
        {TYPE_F32, ACT_FLOAT, k->f32},     {TYPE_F16, ACT_FLOAT, k->f16},     {TYPE_BF16, ACT_FLOAT, k->bf16},
        {TYPE_Q8_0, ACT_BLOCK, k->q8_0},   {TYPE_Q4_0, ACT_BLOCK, k->q4_0},   {TYPE_Q6_K, ACT_BLOCK, k->q6_k},
        {TYPE_TQ1_0, ACT_BLOCK, k->tq1_0}, {TYPE_TQ2_0, ACT_BLOCK, k->tq2_0}, {TYPE_TERNARY, ACT_ROW, k->ternary},
        {TYPE_TRITS, ACT_ROW, k->trits},         {TYPE_Q6_GROUP, ACT_BLOCK, k->q6_group},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].type == type) {
            *form = table[i].form;
            return table[i].multiply;
        }
    return NULL;
}
