#include "kernels/pt_edges.h"

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
        for (uint32_t bits = *bitmap++, i = base; bits != 0u; bits >>= 1, ++i) {
            if ((bits & 1u) != 0u && scores[used++] < threshold) {
                effective[i] = 0;
            }
        }
    }
    return used;
}

uint32_t pt_bitmap_count(const uint8_t *bitmap, uint32_t row_length)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pt_bitmap_size(row_length); ++i) {
        for (uint32_t bits = bitmap[i]; bits != 0u; bits >>= 1) {
            count += bits & 1u;
        }
    }
    return count;
}
