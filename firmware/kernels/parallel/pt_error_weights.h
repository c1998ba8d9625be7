/*
 * The weights of the input error of a convolution of the power-of-two form, packed once, half of
 * the rows by each core, in the scratch of core 0.
 */
#ifndef PT_ERROR_WEIGHTS_H
#define PT_ERROR_WEIGHTS_H

#include <stdbool.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

/* `scratch`: that of the whole error, of either core. False: none are packed, each half has to. */
bool pt_error_weights_pack(const struct pt_shape *shape, bool pooled, const struct pt_edges *edges,
                           void *const scratch[2]);

#endif
