/*
 * From int32 accumulators to int8 tensors, and the range that dynamic scaling needs.
 *
 * Shifts 0..24; |accumulator| <= 2^31 - 1 - 2^23 (pt_numerics.h). Buffers must not overlap.
 */
#ifndef PT_REQUANTIZE_H
#define PT_REQUANTIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_numerics.h"

/* clamp(RHU(x, shift)) of one element; adds 1 to *saturated if it was out of range. */
static inline int8_t pt_requantize_s32(int32_t x, uint32_t shift, bool relu, uint32_t *saturated)
{
    const int32_t rounded = pt_rhu_s32(x, shift);
    if (rounded > PT_S8_MAX) {
        ++*saturated;
        return PT_S8_MAX;
    }
    if (relu && rounded < 0) {
        return 0;
    }
    if (rounded < -PT_S8_MAX) {
        ++*saturated;
        return -PT_S8_MAX;
    }
    return (int8_t)rounded;
}

/* output[i] = clamp(RHU(accumulator[i], shift)). Returns how many saturated. */
uint32_t pt_requantize_s8(const int32_t *accumulator, uint32_t count, uint32_t shift, bool relu,
                          int8_t *output);

/*
 * The same for errors, then 0 wherever activation[i] is 0 (the backward pass of ReLU);
 * activation may be NULL: no ReLU. Saturation is counted before that mask.
 */
uint32_t pt_requantize_error_s8(const int32_t *accumulator, const int8_t *activation,
                                uint32_t count, uint32_t shift, int8_t *error);

/* max |values[i]|, 0 for count 0. */
uint32_t pt_max_abs_s32(const int32_t *values, uint32_t count);
uint32_t pt_max_abs_s8(const int8_t *values, uint32_t count);

#endif
