#include "kernels/pt_affine_backward.h"

#include <stddef.h>

#include "kernels/pt_requantize.h"
#include "kernels/pt_row_weight.h"

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

/* Once in an image: less code. */
__attribute__((noinline)) const struct pt_factor *pt_affine_largest_factor(
    const struct pt_factor *factor, uint32_t rows)
{
    return pt_row_weight_largest(factor, rows);
}

void pt_affine_weigh_error_s8(const struct pt_factor *factor, uint32_t rows, uint32_t positions,
                              int8_t *error)
{
    const struct pt_factor *largest = pt_affine_largest_factor(factor, rows);
    const uint32_t count = rows * positions;
    for (uint32_t row = 0; row < rows; ++row) {
        const int32_t weight = pt_row_weight(&factor[row], largest);
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
