"""What must be fast: kernels in C behind a thin Cython face. Knows arrays, not models."""
