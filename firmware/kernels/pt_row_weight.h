/*
 * What the error of a row counts as it goes back: its factor beside the largest of its layer
 * (docs/numerics.md, section 15). Shared by the kernels of chips and those of hosts.
 *
 *   largest = pt_row_weight_largest(factor, rows);
 *   d = pt_rhu_s32(d * pt_row_weight(&factor[row], largest), 7);
 */
#ifndef PT_ROW_WEIGHT_H
#define PT_ROW_WEIGHT_H

#include <stdint.h>

#include "kernels/pt_affine.h"
#include "kernels/pt_numerics.h"

/* The largest multiplier, by shift, then by itself, the first of equals; 0 is the least. */
static inline const struct pt_factor *pt_row_weight_largest(const struct pt_factor *factor,
                                                            uint32_t rows)
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

/* 128 for the largest factor, less for the others, 0 for a multiplier of 0. */
static inline int32_t pt_row_weight(const struct pt_factor *factor,
                                    const struct pt_factor *largest)
{
    if (factor->multiplier == 0) {
        return 0;
    }
    const uint32_t part = (uint32_t)factor->multiplier >> 16;
    const uint32_t whole = (uint32_t)largest->multiplier >> 16;
    const uint32_t below = (uint32_t)(largest->shift - factor->shift);
    return pt_rhu_s32((int32_t)((part << 16) / whole), 9u + (below < 21u ? below : 21u));
}

#endif
