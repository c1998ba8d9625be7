#include "kernels/pt_update.h"

#include "kernels/pt_memory.h"
#include "kernels/pt_numerics.h"

/* *state <- clamp(*state - clamp(PSTO(x, shift))); returns the clamped update. */
static int8_t descend(int8_t *state, int32_t x, uint32_t shift, uint32_t *saturated)
{
    const int32_t step = pt_psto_s32(x, shift);
    const int8_t update = pt_clamp_s8(step);
    const int32_t target = *state - update;
    *state = pt_clamp_s8(target);
    if (update != step || *state != target) {
        ++*saturated;
    }
    return update;
}

uint32_t pt_update_weights_s8(int8_t *weights, const int32_t *gradient, uint32_t count,
                              uint32_t shift, int8_t *update)
{
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        update[i] = gradient[i] == 0 ? 0 : descend(&weights[i], gradient[i], shift, &saturated);
    }
    return saturated;
}

uint32_t pt_update_scores_s8(int8_t *scores, const int8_t *weights, const int32_t *gradient,
                             uint32_t count, uint32_t gradient_shift, uint32_t shift,
                             int8_t *update)
{
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t product = pt_rhu_s32(gradient[i], gradient_shift) * weights[i];
        update[i] = product == 0 ? 0 : descend(&scores[i], product, shift, &saturated);
    }
    return saturated;
}

uint32_t pt_update_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap, const int8_t *weights,
                                    const int32_t *gradient, uint32_t count,
                                    uint32_t gradient_shift, uint32_t shift, int8_t *update,
                                    uint32_t *saturated)
{
    uint32_t used = 0;
    for (uint32_t base = 0; base < count; base += 8u) {
        for (uint32_t bits = *bitmap++, i = base; bits != 0u; bits >>= 1, ++i) {
            if ((bits & 1u) != 0u) {
                const int32_t product = pt_rhu_s32(gradient[i], gradient_shift) * weights[i];
                update[used] = descend(&scores[used], product, shift, saturated);
                ++used;
            }
        }
    }
    return used;
}

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
