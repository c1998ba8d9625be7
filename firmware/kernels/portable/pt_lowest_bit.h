/*
 * The scored edges of a row (pt_edges.h), bit by bit of its bitmap.
 */
#ifndef PT_LOWEST_BIT_H
#define PT_LOWEST_BIT_H

#include <stdint.h>

/* The place of the lowest bit that is set; bits is not 0. */
static inline uint32_t pt_lowest_bit(uint32_t bits)
{
    return (uint32_t)__builtin_ctz(bits);
}

#endif
