/*
 * The set bits of one row of a bitmap, for sparsely scored edges: up to 32 at a time.
 */
#ifndef PT_BITS_H
#define PT_BITS_H

#include <stdint.h>

#include "kernels/cortex_m0plus/pt_byte_order.h"
#include "kernels/pt_edges.h"
#include "kernels/pt_memory.h"

struct pt_bits {
    const uint8_t *next;
    const uint8_t *end;
    uint32_t base; /* the edge of bit 0 of the word that comes next */
};

static inline struct pt_bits pt_bits_of(const uint8_t *bitmap, uint32_t row_length)
{
    const struct pt_bits bits = {bitmap, bitmap + pt_bitmap_size(row_length), 0};
    return bits;
}

/*
 * The next bits that are not all 0, with the edge of bit 0 in *base; 0 at the end of the row. Rows
 * lie anywhere, so it takes bytes up to a word boundary and behind the last one.
 */
static inline uint32_t pt_bits_next(struct pt_bits *bits, uint32_t *base)
{
    const uint8_t *next = bits->next;
    uint32_t at = bits->base;
    uint32_t found = 0;
    while (found == 0u && next != bits->end) {
        *base = at;
        if (((uintptr_t)next & 3u) == 0u && bits->end - next >= 4) {
            found = pt_load_word(next);
            next += 4;
            at += 32u;
        } else {
            found = *next++;
            at += 8u;
        }
    }
    bits->next = next;
    bits->base = at;
    return found;
}

/* pt_bit_places[(bit * 0x077cb531) >> 27] is the place of the one bit that is set. */
extern const uint8_t pt_bit_places[32];

/* The place of the lowest bit that is set. */
static inline uint32_t pt_bit_lowest(uint32_t word)
{
    return pt_bit_places[(word & (0u - word)) * 0x077cb531u >> 27];
}

#endif
