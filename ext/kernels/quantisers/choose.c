/* The quantisers for this processor; `wanted` names a kernel set (select.c) that stands for its width. */
#include "quantise.h"

#include <string.h>

Quantise quantise_for(const char *wanted)
{
#if defined(__x86_64__)
    if (!strncmp(wanted, "avx512", 6)) return quantise_avx512;
    if (!strncmp(wanted, "avx", 3)) return quantise_avx2;
#endif
    (void)wanted;
    return quantise_baseline;
}
