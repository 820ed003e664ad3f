/* AVX-512 with VNNI and VBMI (byte look-ups): the same kernels, and ternary at five trits a byte. */
#define VBMI
#include "kernels_avx512.c"
