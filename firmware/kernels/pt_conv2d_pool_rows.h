/*
 * The input error of a pair of any stride, row by row from the errors of the pool's output; no
 * scratch but a row of sums, int32 [in_w, in_c], and an effective row of edges behind it. As
 * pt_conv2d_pool_error_s8.
 */
#ifndef PT_CONV2D_POOL_ROWS_H
#define PT_CONV2D_POOL_ROWS_H

#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

uint32_t pt_conv2d_pool_error_rows_s8(const struct pt_shape *shape, const int8_t *error,
                                      const uint8_t *places, const struct pt_edges *edges,
                                      const int8_t *activation, uint32_t shift, void *scratch,
                                      int8_t *input_error);

#endif
