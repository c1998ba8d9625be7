/*
 * Convolutions of the power-of-two form whose rows are too short for one vector along each: many
 * rows are summed side by side.
 */
#ifndef PT_SHORT_ROWS_H
#define PT_SHORT_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

enum { PT_SHORT_ROW = 128 };

/* As pt_conv2d_forward_s32 and pt_conv2d_forward_s8. */
void pt_short_rows_forward_s32(const struct pt_shape *shape, const int8_t *input,
                               const struct pt_edges *edges, void *scratch, int32_t *output);
uint32_t pt_short_rows_forward_s8(const struct pt_shape *shape, const int8_t *input,
                                  const struct pt_edges *edges, uint32_t shift, bool relu,
                                  void *scratch, int8_t *output);

#endif
