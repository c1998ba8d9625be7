/*
 * Parts of kernels that are no layer of their own, for two cores: halves that are more equal, or do
 * less of it twice, than those by rows. What the whole kernel says of its arguments holds.
 */
#ifndef PT_SLICES_H
#define PT_SLICES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_conv2d.h"
#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

/*
 * pt_conv2d_pool_forward_s8 of output channels [begin, end) alone, multiples of PT_LANES or out_c;
 * edges from row `begin` on, output and places of the whole layer, and 0 before.
 */
uint32_t pt_conv2d_pool_forward_slice_s8(const struct pt_shape *shape, uint32_t begin,
                                         uint32_t end, const int8_t *input,
                                         const struct pt_edges *edges, uint32_t shift,
                                         void *scratch, int8_t *output, uint8_t *places);

/* pt_linear_error_s32 of inputs [begin, end) alone, multiples of 4, of edges without a bitmap. */
void pt_linear_error_slice_s32(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                               uint32_t begin, uint32_t end, const int8_t *needed, void *scratch,
                               int32_t *input_error);

/*
 * What pt_conv2d_gradient_begin, or that of a pair (`pooled`), leaves in its scratch, in parts: the
 * pairs of input rows [begin, end) with the padding beside them, of which there is at least one,
 * and the positions. No two of them write the same word, but where in_c is odd and rows are not
 * padded: there all rows are one part.
 */
void pt_conv2d_gradient_pairs(const struct pt_shape *shape, uint32_t begin, uint32_t end,
                              const int8_t *input, void *shared);
void pt_conv2d_gradient_positions(const struct pt_shape *shape, bool pooled, const int8_t *error,
                                  void *shared);

/* The gradient of a row, of a pair where there are places, by that scratch, which is read only, and
 * a list of its own, of PT_GRADIENT_LIST bytes. */
enum { PT_GRADIENT_LIST = 8 * PT_ERROR_BUDGET };
void pt_conv2d_gradient_slice_s32(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                                  const uint8_t *places, void *shared, void *list,
                                  int32_t *gradient);

#endif
