#include "kernels/pt_update.h"

#include <stddef.h>

#include "kernels/pt_numerics.h"

/* *state <- clamp(*state - clamp(PSTO(x, shift))), the step into update[i]; 1 if saturated. */
static uint32_t descend(int8_t *state, int32_t x, uint32_t shift, int8_t *update, uint32_t i)
{
    const int32_t rounded = pt_psto_s32(x, shift);
    const int8_t step = pt_clamp_s8(rounded);
    const int32_t target = *state - step;
    *state = pt_clamp_s8(target);
    if (update != NULL) {
        update[i] = step;
    }
    return step != rounded || *state != target ? 1u : 0u;
}

uint32_t pt_update_weights_s8(int8_t *weights, const int32_t *gradient, uint32_t count,
                              uint32_t shift, int8_t *update)
{
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        saturated += descend(&weights[i], gradient[i], shift, update, i);
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
        saturated += descend(&scores[i], product, shift, update, i);
    }
    return saturated;
}

uint32_t pt_update_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap, const int8_t *weights,
                                    const int32_t *gradient, uint32_t count,
                                    uint32_t gradient_shift, uint32_t shift, int8_t *update)
{
    uint32_t saturated = 0;
    uint32_t used = 0;
    for (uint32_t base = 0; base < count; base += 8u) {
        for (uint32_t bits = *bitmap++, i = base; bits != 0u; bits >>= 1, ++i) {
            if ((bits & 1u) != 0u) {
                const int32_t product = pt_rhu_s32(gradient[i], gradient_shift) * weights[i];
                saturated += descend(&scores[used], product, shift, update, used);
                ++used;
            }
        }
    }
    return saturated;
}

void pt_update_linear_begin(const int8_t *input, uint32_t count, void *scratch)
{
    (void)input;
    (void)count;
    (void)scratch;
}

uint32_t pt_update_linear_weights_s8(int8_t *weights, const int8_t *input, int32_t error,
                                     uint32_t count, uint32_t shift, const void *scratch,
                                     int8_t *update)
{
    (void)scratch;
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        saturated += descend(&weights[i], error * input[i], shift, update, i);
    }
    return saturated;
}

uint32_t pt_update_linear_scores_s8(int8_t *scores, const int8_t *weights, const int8_t *input,
                                    int32_t error, uint32_t count, uint32_t shift,
                                    const void *scratch, int8_t *update)
{
    (void)scratch;
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        saturated += descend(&scores[i], error * input[i] * weights[i], shift, update, i);
    }
    return saturated;
}

uint32_t pt_update_linear_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap,
                                           const int8_t *weights, const int8_t *input,
                                           int32_t error, uint32_t count, uint32_t shift,
                                           int8_t *update)
{
    uint32_t saturated = 0;
    uint32_t used = 0;
    for (uint32_t base = 0; base < count; base += 8u) {
        for (uint32_t bits = *bitmap++, i = base; bits != 0u; bits >>= 1, ++i) {
            if ((bits & 1u) != 0u) {
                const int32_t product = error * input[i] * weights[i];
                saturated += descend(&scores[used], product, shift, update, used);
                ++used;
            }
        }
    }
    return saturated;
}
