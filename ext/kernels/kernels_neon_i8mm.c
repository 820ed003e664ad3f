/* The same with i8mm (ARMv8.6: Cortex-X2, Apple M2, Graviton 3 and later). */
#define UNSIGNED_DOT
#include "kernels_neon.c"
