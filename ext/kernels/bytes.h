/* Numbers as they lie in a file, least byte first, at any address. */
#ifndef STERNA_BYTES_H
#define STERNA_BYTES_H

#include <stdint.h>

static inline uint16_t read16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static inline uint32_t read32(const uint8_t *p) { return read16(p) | (uint32_t)read16(p + 2) << 16; }

#endif
