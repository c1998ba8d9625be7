#include "kernels/pt_edges.h"

#include "kernels/portable/pt_avx512.h"
#include "kernels/portable/pt_lowest_bit.h"
#include "kernels/pt_memory.h"

void pt_mask_weights_s8(const int8_t *weights, const int8_t *scores, int32_t threshold,
                        uint32_t count, int8_t *effective)
{
    const int8_t least = (int8_t)threshold; /* bytes are compared many at a time */
    for (uint32_t i = 0; i < count; ++i) {
        effective[i] = scores[i] >= least ? weights[i] : 0;
    }
}

uint32_t pt_mask_sparse_weights_s8(const int8_t *weights, const int8_t *scores,
                                   const uint8_t *bitmap, int32_t threshold, uint32_t count,
                                   int8_t *effective)
{
    uint32_t used = 0;
#ifdef PT_AVX512
    const __m512i least = _mm512_set1_epi8((char)threshold);
    for (uint32_t i = 0; i < count; i += 64u) {
        const uint32_t left = count - i;
        const __mmask64 edges = pt_first_bytes(left);
        const uint64_t scored = pt_load_bits(bitmap + i / 8u, left);
        const uint32_t some = (uint32_t)__builtin_popcountll(scored);
        const __m512i packed = _mm512_maskz_loadu_epi8(pt_first_bytes(some), scores + used);
        const __m512i spread = _mm512_maskz_expand_epi8(scored, packed);
        const __mmask64 pruned = _mm512_mask_cmplt_epi8_mask(scored, spread, least);
        const __m512i kept = _mm512_maskz_loadu_epi8(edges & ~pruned, weights + i);
        _mm512_mask_storeu_epi8(effective + i, edges, kept);
        used += some;
    }
#else
    memcpy(effective, weights, count);
    for (uint32_t base = 0; base < count; base += 8u) {
        for (uint32_t bits = *bitmap++; bits != 0u; bits &= bits - 1u) {
            const uint32_t i = base + pt_lowest_bit(bits);
            effective[i] = scores[used++] < threshold ? 0 : weights[i];
        }
    }
#endif
    return used;
}

uint32_t pt_bitmap_count(const uint8_t *bitmap, uint32_t row_length)
{
    uint32_t count = 0;
#ifdef PT_AVX512
    for (uint32_t i = 0; i < row_length; i += 64u) {
        count += (uint32_t)__builtin_popcountll(pt_load_bits(bitmap + i / 8u, row_length - i));
    }
#else
    for (uint32_t i = 0; i < pt_bitmap_size(row_length); ++i) {
        const uint32_t pairs = bitmap[i] - (bitmap[i] >> 1 & 0x55u);
        const uint32_t fours = (pairs & 0x33u) + (pairs >> 2 & 0x33u);
        count += (fours + (fours >> 4)) & 0x0fu;
    }
#endif
    return count;
}
