/*
 * The scratch of core 1 while a layer of the power-of-two form is updated, and what begins that.
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

/* `alone` on both cores, each with its own scratch, of `kernel` bytes; or on core 0. */
void pt_gradient_begin(void (*alone)(const struct pt_shape *shape, const int8_t *input,
                                     const int8_t *error, void *scratch),
                       uint32_t kernel, const struct pt_shape *shape, const int8_t *input,
                       const int8_t *error, void *scratch);

static inline int32_t *pt_gradient_of_core(const struct pt_shape *shape, uint32_t kernel)
{
    return (int32_t *)pt_gradient_scratch(shape, kernel) + pt_round4(kernel) / 4u;
}

#endif
