#include "kernels/pt_edges.h"

#include "kernels/cortex_m0plus/pt_bits.h"
#include "kernels/cortex_m0plus/pt_edges_inner.h"
#include "kernels/pt_memory.h"

const uint8_t pt_bit_places[32] = {
    0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8,
    31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5, 10, 9,
};

void pt_mask_weights_s8(const int8_t *weights, const int8_t *scores, int32_t threshold,
                        uint32_t count, int8_t *effective)
{
    const uintptr_t places = (uintptr_t)weights | (uintptr_t)scores | (uintptr_t)effective;
    const uint32_t words = (places & 3u) == 0u ? count & ~3u : 0u;
    if (words != 0u) {
        const struct pt_mask_job job = {
            weights, scores, effective, effective + words,
            ((uint32_t)threshold & 0x7fu) * 0x01010101u,
        };
        if (threshold < 0) {
            pt_mask_words_negative(&job);
        } else {
            pt_mask_words_positive(&job);
        }
    }
    for (uint32_t i = words; i < count; ++i) {
        effective[i] = scores[i] >= threshold ? weights[i] : 0;
    }
}

uint32_t pt_mask_sparse_weights_s8(const int8_t *weights, const int8_t *scores,
                                   const uint8_t *bitmap, int32_t threshold, uint32_t count,
                                   int8_t *effective)
{
    const int8_t *score = scores;
    struct pt_bits left = pt_bits_of(bitmap, count);
    uint32_t base = 0;
    memcpy(effective, weights, count);
    for (uint32_t bits; (bits = pt_bits_next(&left, &base)) != 0u;) {
        for (; bits != 0u; bits &= bits - 1u) {
            if (*score++ < threshold) {
                effective[base + pt_bit_lowest(bits)] = 0;
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
