/*
 * The gradient of a convolution of the power-of-two form on both cores: what its rows walk is made
 * once, half by each, in the scratch of core 0, and both read it. Core 1 has a list and a gradient.
 */
#ifndef PT_GRADIENT_SCRATCH_H
#define PT_GRADIENT_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/parallel/pt_share.h"
#include "kernels/pt_shape.h"

static inline uint32_t pt_gradient_bytes(const struct pt_shape *shape)
{
    return PT_GRADIENT_LIST + 4u * pt_shape_patch_size(shape);
}

/* Whether core 1 may make rows. */
static inline bool pt_gradient_shared(const struct pt_shape *shape)
{
    return pt_share_fits(pt_gradient_bytes(shape));
}

/* What core 1 has as the scratch of its rows: a list, then the gradient of one. */
static inline void *pt_gradient_scratch(const struct pt_shape *shape)
{
    return pt_share_scratch(pt_gradient_bytes(shape));
}

static inline int32_t *pt_gradient_of_core(const struct pt_shape *shape)
{
    return (int32_t *)pt_gradient_scratch(shape) + PT_GRADIENT_LIST / 4u;
}

/* Makes what the rows walk; false where core 0 is to do so alone. */
bool pt_gradient_begin(const struct pt_shape *shape, bool pooled, const int8_t *input,
                       const int8_t *error, void *scratch);

/* Makes a row of core 1, which pt_gradient_begin's scratch is for; false: it is one of core 0. */
bool pt_gradient_row(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                     const uint8_t *places, void *scratch, int32_t *gradient);

#endif
