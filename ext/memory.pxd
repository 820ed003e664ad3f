cdef void *allocate(size_t bytes) except NULL
cdef void give_back(const void *data, size_t size) noexcept
