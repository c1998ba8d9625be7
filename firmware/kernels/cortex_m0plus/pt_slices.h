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

/*
 * The weights of an input error of stride 1 and PT_LANES input channels at the most, packed for
 * both cores: of rows [begin, end), edges from row `begin` on, into the scratch `shared` of that
 * error of a convolution or a pair (`pooled`), by a scratch like it. No two rows write the same
 * word. Then the errors of parts, by what all rows left in `shared`, which is read only.
 */
static inline bool pt_conv2d_error_packs(const struct pt_shape *shape)
{
    return shape->stride_h == 1u && shape->in_c <= PT_LANES;
}
void pt_conv2d_error_pack(const struct pt_shape *shape, bool pooled, uint32_t begin, uint32_t end,
                          const struct pt_edges *edges, void *shared, void *scratch);
void pt_conv2d_error_slice_s32(const struct pt_shape *shape, const int8_t *error, void *shared,
                               void *scratch, int32_t *input_error);
uint32_t pt_conv2d_pool_error_slice_s8(const struct pt_shape *shape, const int8_t *error,
                                       const uint8_t *places, const int8_t *activation,
                                       uint32_t shift, void *shared, void *scratch,
                                       int8_t *input_error);

/*
 * The inputs of a linear layer that are not 0, in order, from number k on (pt_linear_inner.h);
 * returns where the list ends. Then its rows, by a list of no more than pt_linear_most_listed.
 */
uint32_t *pt_list_inputs(const int8_t *values, uint32_t length, uint32_t k, uint32_t *list);
static inline uint32_t pt_linear_most_listed(uint32_t length)
{
    return length / 4u * 3u;
}
void pt_linear_forward_slice_s32(const int8_t *input, const uint32_t *list, const uint32_t *end,
                                 const struct pt_edges *edges, uint32_t rows, int32_t *output);
uint32_t pt_linear_forward_slice_s8(const int8_t *input, const uint32_t *list, const uint32_t *end,
                                    const struct pt_edges *edges, uint32_t rows, uint32_t shift,
                                    bool relu, int8_t *output);

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
