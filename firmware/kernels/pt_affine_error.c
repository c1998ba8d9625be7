#include "kernels/pt_affine_backward.h"

#include <stddef.h>

#include "kernels/pt_requantize.h"

uint32_t pt_affine_merge_sums_s32(const int32_t *sums, uint32_t count, uint32_t shift,
                                  const struct pt_merge *merge)
{
    uint32_t saturated = 0;
    if (merge->factor == 0) {
        return pt_requantize_error_s8(sums, NULL, count, shift, merge->error);
    }
    for (uint32_t i = 0; i < count; ++i) {
        pt_merge_put(merge, i, pt_requantize_s32(sums[i], shift, false, &saturated));
    }
    return saturated;
}

void pt_affine_merge_s8(const int8_t *error, uint32_t count, const struct pt_merge *merge)
{
    for (uint32_t i = 0; i < count; ++i) {
        pt_merge_put(merge, i, error[i]);
    }
}

void pt_affine_mask_error_s8(const struct pt_affine *affine, const int8_t *output,
                             uint32_t count, int8_t *error)
{
    /* Outputs lie within the bounds, so one that is not an activation's is moved out of reach. */
    const bool cut_low = affine->low > INT8_MIN || affine->low == affine->zero_out;
    const int32_t low = cut_low ? affine->low : INT8_MIN - 1;
    const int32_t high = affine->high < INT8_MAX ? affine->high : INT8_MAX + 1;
    if (low < INT8_MIN && high > INT8_MAX) {
        return;
    }
    for (uint32_t i = 0; i < count; ++i) {
        if (output[i] <= low || output[i] >= high) {
            error[i] = 0;
        }
    }
}

const struct pt_factor *pt_affine_largest_factor(const struct pt_factor *factor, uint32_t rows)
{
    const struct pt_factor *largest = factor;
    for (uint32_t row = 1; row < rows; ++row) {
        const struct pt_factor *other = &factor[row];
        if (other->multiplier != 0 &&
            (largest->multiplier == 0 || other->shift > largest->shift ||
             (other->shift == largest->shift && other->multiplier > largest->multiplier))) {
            largest = other;
        }
    }
    return largest;
}

/* 128 for the largest factor, less for the others. */
static int32_t weight_of(const struct pt_factor *factor, const struct pt_factor *largest)
{
    if (factor->multiplier == 0) {
        return 0;
    }
    const uint32_t part = (uint32_t)factor->multiplier >> 16;
    const uint32_t whole = (uint32_t)largest->multiplier >> 16;
    const uint32_t below = (uint32_t)(largest->shift - factor->shift);
    return pt_rhu_s32((int32_t)((part << 16) / whole), 9u + (below < 21u ? below : 21u));
}

void pt_affine_weigh_error_s8(const struct pt_factor *factor, uint32_t rows, uint32_t positions,
                              int8_t *error)
{
    const struct pt_factor *largest = pt_affine_largest_factor(factor, rows);
    const uint32_t count = rows * positions;
    for (uint32_t row = 0; row < rows; ++row) {
        const int32_t weight = weight_of(&factor[row], largest);
        if (weight == 128) {
            continue;
        }
        for (uint32_t i = row; i < count; i += rows) {
            if (error[i] != 0) {
                error[i] = (int8_t)pt_rhu_s32(error[i] * weight, 7);
            }
        }
    }
}
