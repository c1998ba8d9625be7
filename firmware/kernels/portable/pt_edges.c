#include "kernels/pt_edges.h"

#include "kernels/portable/pt_lowest_bit.h"
#include "kernels/pt_memory.h"

void pt_mask_weights_s8(const int8_t *weights, const int8_t *scores, int32_t threshold,
                        uint32_t count, int8_t *effective)
{
    for (uint32_t i = 0; i < count; ++i) {
        effective[i] = scores[i] >= threshold ? weights[i] : 0;
    }
}

uint32_t pt_mask_sparse_weights_s8(const int8_t *weights, const int8_t *scores,
                                   const uint8_t *bitmap, int32_t threshold, uint32_t count,
                                   int8_t *effective)
{
    uint32_t used = 0;
    memcpy(effective, weights, count);
    for (uint32_t base = 0; base < count; base += 8u) {
        for (uint32_t bits = *bitmap++; bits != 0u; bits &= bits - 1u) {
            const uint32_t i = base + pt_lowest_bit(bits);
            effective[i] = scores[used++] < threshold ? 0 : weights[i];
        }
    }
    return used;
}

uint32_t pt_bitmap_count(const uint8_t *bitmap, uint32_t row_length)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pt_bitmap_size(row_length); ++i) {
        const uint32_t pairs = bitmap[i] - (bitmap[i] >> 1 & 0x55u);
        const uint32_t fours = (pairs & 0x33u) + (pairs >> 2 & 0x33u);
        count += (fours + (fours >> 4)) & 0x0fu;
    }
    return count;
}
