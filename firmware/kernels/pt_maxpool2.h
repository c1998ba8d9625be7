/*
 * 2x2 max-pool with stride 2, forward and backward; an odd last row or column is dropped.
 *
 *   input int8 [in_h, in_w, in_c] -> output int8 [in_h / 2, in_w / 2, in_c]
 *
 * Buffers must not overlap. No scratch.
 */
#ifndef PT_MAXPOOL2_H
#define PT_MAXPOOL2_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_shape.h"

void pt_maxpool2_forward_s8(const struct pt_shape *shape, const int8_t *input, int8_t *output);

/*
 * Routes each output error to the first maximum of its window in row-major order; every other
 * element of input_error [in_h, in_w, in_c] becomes 0. With `relu` (the layer below has one),
 * errors of windows whose maximum is 0 are dropped.
 */
void pt_maxpool2_error_s8(const struct pt_shape *shape, const int8_t *input,
                          const int8_t *output_error, bool relu, int8_t *input_error);

#endif
