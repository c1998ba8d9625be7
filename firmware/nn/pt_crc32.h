/*
 * CRC-32 (IEEE 802.3, reflected, as zlib's): start with 0, chain by passing the last result.
 */
#ifndef PT_CRC32_H
#define PT_CRC32_H

#include <stdint.h>

uint32_t pt_crc32(uint32_t crc, const void *data, uint32_t size);

#endif
