/*
 * What the affine kernels share: from a sum to int8.
 */
#ifndef PT_AFFINE_INNER_H
#define PT_AFFINE_INNER_H

#include <stdint.h>

#include "kernels/pt_affine.h"
#include "kernels/pt_fixedpoint.h"

static inline int8_t pt_affine_bound(int32_t x, const struct pt_affine *affine)
{
    const int32_t above = x < affine->low ? affine->low : x;
    return (int8_t)(above > affine->high ? affine->high : above);
}

static inline int8_t pt_affine_output(int32_t sum, const struct pt_factor *factor,
                                      const struct pt_affine *affine)
{
    const int32_t scaled = pt_scale_s32(sum, factor->multiplier, factor->shift);
    return pt_affine_bound(affine->zero_out + scaled, affine);
}

/* sum of weights * (input - zero), all of `length` elements */
static inline int32_t pt_affine_dot(const int8_t *weights, const int8_t *input, int32_t zero,
                                    uint32_t length)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < length; ++i) {
        sum += weights[i] * (input[i] - zero);
    }
    return sum;
}

#endif
