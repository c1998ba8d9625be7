/*
 * A pool's window of sums, requantised once (docs/numerics.md, section 17).
 */
#ifndef PT_POOL_SUMS_H
#define PT_POOL_SUMS_H

#include <stdint.h>

#include "kernels/pt_requantize.h"

/*
 * The largest of four sums, `step` apart, requantised with ReLU; *place: the first of them that has
 * that output. Adds to *saturated how many of the four are out of range.
 */
static inline int8_t pt_pool_sums_s8(const int32_t *sums, uint32_t step, uint32_t shift,
                                     uint32_t *place, uint32_t *saturated)
{
    uint32_t over = 0;
    int32_t largest = sums[0];
    for (uint32_t i = 1; i < 4u; ++i) {
        largest = sums[i * step] > largest ? sums[i * step] : largest;
    }
    const int8_t output = pt_requantize_s32(largest, shift, true, &over);
    *place = 0;
    if (output == 0) {
        return 0; /* so are all */
    }
    while (pt_requantize_s32(sums[*place * step], shift, true, &over) != output) {
        ++*place;
    }
    for (uint32_t i = 0; over != 0u && i < 4u; ++i) {
        pt_requantize_s32(sums[i * step], shift, true, saturated);
    }
    return output;
}

#endif
