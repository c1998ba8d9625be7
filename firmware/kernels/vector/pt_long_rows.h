/*
 * Convolutions of the power-of-two form by tiles (pt_tiles.h), for rows that are longer than
 * pt_short_rows.h has them.
 */
#ifndef PT_LONG_ROWS_H
#define PT_LONG_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"
#include "kernels/vector/pt_outputs.h"

/* As pt_conv2d_forward_*, and pt_conv2d_error_s32. False, and nothing is done, where the machine
 * has no tiles or the layer has no room. */
bool pt_long_rows_forward(const struct pt_shape *shape, const int8_t *input,
                          const struct pt_edges *edges, struct pt_outputs *outputs);
bool pt_long_rows_error(const struct pt_shape *shape, const int8_t *error,
                        const struct pt_edges *edges, int32_t *input_error);

#endif
