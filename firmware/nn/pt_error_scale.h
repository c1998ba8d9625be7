/*
 * Scales of errors (docs/numerics.md, section 15): what one unit of a tensor's error stands for,
 * but for a factor that all have in common. They are needed only where errors meet.
 */
#ifndef PT_ERROR_SCALE_H
#define PT_ERROR_SCALE_H

#include <stdint.h>

#include "kernels/pt_affine.h"
#include "kernels/pt_merge.h"

/* multiplier * 2^(exponent - 15) */
struct pt_error_scale {
    uint16_t multiplier; /* 2^15..2^16 - 1; 0: nothing has come yet */
    int16_t exponent;
};

enum pt_error_scale_one { PT_ERROR_SCALE_ONE = 1 << 15 };

/* Times a factor that is not 0. */
struct pt_error_scale pt_error_scale_times(struct pt_error_scale scale,
                                           const struct pt_factor *factor);

/* Divided by 1..65025, the elements of a window. */
struct pt_error_scale pt_error_scale_over(struct pt_error_scale scale, uint32_t count);

static inline struct pt_error_scale pt_error_scale_lifted(struct pt_error_scale scale,
                                                          uint32_t bits)
{
    scale.exponent = (int16_t)(scale.exponent + (int32_t)bits);
    return scale;
}

/*
 * How a contribution with the scale `given` comes to an error that has *scale, which becomes that
 * of both.
 */
struct pt_merge pt_error_scale_merge(int8_t *error, struct pt_error_scale *scale,
                                     struct pt_error_scale given);

#endif
