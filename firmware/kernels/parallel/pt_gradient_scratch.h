/*
 * The scratch of core 1 while a layer of the power-of-two form is updated.
 */
#ifndef PT_GRADIENT_SCRATCH_H
#define PT_GRADIENT_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/parallel/pt_share.h"
#include "kernels/pt_shape.h"

static inline uint32_t pt_gradient_bytes(const struct pt_shape *shape, uint32_t kernel)
{
    return pt_round4(kernel) + 4u * pt_shape_patch_size(shape);
}

/*
 * The `kernel` bytes of pairs and positions of a convolution, which ..._gradient_begin makes there
 * too, then the gradient of a row. False: they do not fit, and core 0 updates the layer alone.
 */
static inline bool pt_gradient_shared(const struct pt_shape *shape, uint32_t kernel)
{
    return pt_share_fits(pt_gradient_bytes(shape, kernel));
}

static inline void *pt_gradient_scratch(const struct pt_shape *shape, uint32_t kernel)
{
    return pt_share_scratch(pt_gradient_bytes(shape, kernel));
}

static inline int32_t *pt_gradient_of_core(const struct pt_shape *shape, uint32_t kernel)
{
    return (int32_t *)pt_gradient_scratch(shape, kernel) + pt_round4(kernel) / 4u;
}

#endif
