#include "kernels/pt_edges.h"

#include <stddef.h>

#include "kernels/pt_memory.h"

const int8_t *pt_edges_next_row(struct pt_edges *edges, int8_t *masked)
{
    const int8_t *row = edges->weights;
    const uint32_t length = edges->row_length;
    edges->weights += length;
    if (edges->scores == NULL) {
        return row;
    }
    if (edges->bitmap == NULL) {
        pt_mask_weights_s8(row, edges->scores, edges->threshold, length, masked);
        edges->scores += length;
    } else {
        edges->scores += pt_mask_sparse_weights_s8(row, edges->scores, edges->bitmap,
                                                   edges->threshold, length, masked);
        edges->bitmap += pt_bitmap_size(length);
    }
    return masked;
}

/*
 * Four edges at once. With g = (s | 0x80808080) - threshold % 128, the top bit of a byte of g says
 * that the low seven bits of the score reach those of the threshold; then an edge is pruned where
 * s & ~g (negative threshold) or s | ~g (others) has the top bit set.
 */
void pt_mask_weights_s8(const int8_t *weights, const int8_t *scores, int32_t threshold,
                        uint32_t count, int8_t *effective)
{
    const uint32_t top = 0x80808080u;
    const uint32_t low = ((uint32_t)threshold & 0x7fu) * 0x01010101u;
    const uint32_t positive = threshold < 0 ? 0u : top;
    uint32_t i = 0;
    if ((((uintptr_t)weights | (uintptr_t)scores | (uintptr_t)effective) & 3u) == 0u) {
        for (; i + 4u <= count; i += 4u) {
            const uint32_t s = pt_load_word(scores + i);
            const uint32_t below = ~((s | top) - low);
            const uint32_t pruned = ((s & below) | ((s | below) & positive)) & top;
            const uint32_t bytes = pruned | (pruned - (pruned >> 7));
            pt_store_word(effective + i, pt_load_word(weights + i) & ~bytes);
        }
    }
    for (; i < count; ++i) {
        effective[i] = scores[i] >= threshold ? weights[i] : 0;
    }
}

uint32_t pt_mask_sparse_weights_s8(const int8_t *weights, const int8_t *scores,
                                   const uint8_t *bitmap, int32_t threshold, uint32_t count,
                                   int8_t *effective)
{
    const int8_t *score = scores;
    memcpy(effective, weights, count);
    for (const int8_t *end = effective + count; effective < end; effective += 8) {
        int8_t *edge = effective;
        for (uint32_t bits = *bitmap++; bits != 0u; bits >>= 1, ++edge) {
            if ((bits & 1u) != 0u && *score++ < threshold) {
                *edge = 0;
            }
        }
    }
    return (uint32_t)(score - scores);
}

/* The bits that are set, in every byte. */
static uint32_t count_in_bytes(uint32_t word)
{
    word -= word >> 1 & 0x55555555u;
    word = (word & 0x33333333u) + (word >> 2 & 0x33333333u);
    return (word + (word >> 4)) & 0x0f0f0f0fu;
}

uint32_t pt_bitmap_count(const uint8_t *bitmap, uint32_t row_length)
{
    uint32_t size = pt_bitmap_size(row_length);
    uint32_t count = 0;
    for (; size != 0u && ((uintptr_t)bitmap & 3u) != 0u; --size) {
        count += count_in_bytes(*bitmap++);
    }
    for (; size >= 4u; size -= 4u, bitmap += 4) {
        count += count_in_bytes(pt_load_word(bitmap)) * 0x01010101u >> 24;
    }
    for (; size != 0u; --size) {
        count += count_in_bytes(*bitmap++);
    }
    return count;
}
