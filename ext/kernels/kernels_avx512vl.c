/* See kernels_avxvnni.c: the same source where AVX-512 is there, so that it can be run and tested. */
#define VL
#include "kernels_avxvnni.c"
