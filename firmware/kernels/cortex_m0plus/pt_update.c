#include "kernels/pt_update.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cortex_m0plus/pt_bits.h"
#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/cortex_m0plus/pt_update_inner.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_numerics.h"
#include "kernels/pt_skips.h"

/* *state <- clamp(*state - clamp(PSTO(x, shift))), the step into *update; 1 if saturated. */
static uint32_t descend(int8_t *state, int32_t x, uint32_t shift, int8_t *update)
{
    const int32_t rounded = pt_psto_s32(x, shift);
    const int8_t step = pt_clamp_s8(rounded);
    const int32_t target = *state - step;
    *state = pt_clamp_s8(target);
    if (update != NULL) {
        *update = step;
    }
    return step != rounded || *state != target ? 1u : 0u;
}

/* Whether PSTO(x, shift) is 0 whatever the remainder: |x| < least, which is 2^(shift / 2). */
static bool negligible(int32_t x, uint32_t least)
{
    return (uint32_t)x + (least - 1u) <= 2u * (least - 1u);
}

static void clear(int8_t *update, uint32_t count)
{
    if (update != NULL) {
        memset(update, 0, count);
    }
}

/* The place of element i in `update`, if anybody wants it. */
static int8_t *place(int8_t *update, uint32_t i)
{
    return update == NULL ? NULL : update + i;
}

static struct pt_psto psto_of(uint32_t shift)
{
    const uint32_t half = shift / 2u;
    const uint32_t filled = 32u - (shift - half);
    const struct pt_psto psto = {
        1u << half, 32u - shift, 32u - half, filled == 32u ? UINT32_MAX : (1u << filled) - 1u,
        shift,
    };
    return psto;
}

uint32_t pt_update_weights_s8(int8_t *weights, const int32_t *gradient, uint32_t count,
                              uint32_t shift, int8_t *update)
{
    const uint32_t least = 1u << (shift / 2u);
    uint32_t saturated = 0;
    clear(update, count);
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t x = gradient[i];
        if (!negligible(x, least)) {
            saturated += descend(&weights[i], x, shift, place(update, i));
        }
    }
    return saturated;
}

uint32_t pt_update_scores_s8(int8_t *scores, const int8_t *weights, const int32_t *gradient,
                             uint32_t count, uint32_t gradient_shift, uint32_t shift,
                             int8_t *update)
{
    const uint32_t least = 1u << (shift / 2u);
    uint32_t saturated = 0;
    if (update == NULL && gradient_shift == 0u) {
        struct pt_steps_job job = {
            gradient, gradient + count, scores, weights, 0, psto_of(shift), 0,
        };
        pt_step_gradient(&job);
        return job.saturated;
    }
    clear(update, count);
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t x = pt_rhu_s32(gradient[i], gradient_shift) * weights[i];
        if (!negligible(x, least)) {
            saturated += descend(&scores[i], x, shift, place(update, i));
        }
    }
    return saturated;
}

uint32_t pt_update_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap, const int8_t *weights,
                                    const int32_t *gradient, uint32_t count,
                                    uint32_t gradient_shift, uint32_t shift, int8_t *update)
{
    const uint32_t least = 1u << (shift / 2u);
    struct pt_bits left = pt_bits_of(bitmap, count);
    uint32_t base = 0;
    uint32_t saturated = 0;
    uint32_t used = 0;
    for (uint32_t bits; (bits = pt_bits_next(&left, &base)) != 0u;) {
        for (; bits != 0u; bits &= bits - 1u, ++used) {
            const uint32_t i = base + pt_bit_lowest(bits);
            const int32_t x = pt_rhu_s32(gradient[i], gradient_shift) * weights[i];
            if (update != NULL || !negligible(x, least)) {
                saturated += descend(&scores[used], x, shift, place(update, used));
            }
        }
    }
    return saturated;
}

/* The scratch of a linear layer: the number of its inputs that are not zero, and a list of them. */
void pt_update_linear_begin(const int8_t *input, uint32_t count, void *scratch)
{
    uint32_t *length = scratch;
    *length = (uint32_t)(pt_list_inputs(input, count, 0, length + 1) - (length + 1));
}

/* Runs `steps` over the listed inputs of one row; returns how many edges saturated. */
static uint32_t step_row(void (*steps)(struct pt_steps_job *), int8_t *state,
                         const int8_t *weights, int32_t error, uint32_t shift,
                         const void *scratch)
{
    const uint32_t *length = scratch;
    const uint32_t *list = length + 1;
    struct pt_steps_job job = {
        list, list + *length, state, weights, error, psto_of(shift), 0,
    };
    if (*length == 0u || (PT_SKIP_ZEROS && error == 0)) {
        return 0;
    }
    steps(&job);
    return job.saturated;
}

uint32_t pt_update_linear_weights_s8(int8_t *weights, const int8_t *input, int32_t error,
                                     uint32_t count, uint32_t shift, const void *scratch,
                                     int8_t *update)
{
    if (update == NULL) {
        return step_row(pt_step_weights, weights, NULL, error, shift, scratch);
    }
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        saturated += descend(&weights[i], error * input[i], shift, &update[i]);
    }
    return saturated;
}

uint32_t pt_update_linear_scores_s8(int8_t *scores, const int8_t *weights, const int8_t *input,
                                    int32_t error, uint32_t count, uint32_t shift,
                                    const void *scratch, int8_t *update)
{
    if (update == NULL) {
        return step_row(pt_step_scores, scores, weights, error, shift, scratch);
    }
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        saturated += descend(&scores[i], error * input[i] * weights[i], shift, &update[i]);
    }
    return saturated;
}

uint32_t pt_update_linear_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap,
                                           const int8_t *weights, const int8_t *input,
                                           int32_t error, uint32_t count, uint32_t shift,
                                           int8_t *update)
{
    const uint32_t least = 1u << (shift / 2u);
    struct pt_bits left = pt_bits_of(bitmap, count);
    uint32_t base = 0;
    uint32_t saturated = 0;
    uint32_t used = 0;
    if (PT_SKIP_ZEROS && error == 0 && update == NULL) {
        return 0;
    }
    for (uint32_t bits; (bits = pt_bits_next(&left, &base)) != 0u;) {
        for (; bits != 0u; bits &= bits - 1u, ++used) {
            const uint32_t i = base + pt_bit_lowest(bits);
            const int32_t x = error * input[i] * weights[i];
            if (update != NULL || !negligible(x, least)) {
                saturated += descend(&scores[used], x, shift, place(update, used));
            }
        }
    }
    return saturated;
}
