/*
 * 2-D convolution, ReLU and 2x2 max-pool as one, a pair: docs/numerics.md, section 17. Forward and
 * backward; the map between convolution and pool, and its error, are nowhere.
 *
 *   shape   of the convolution (pt_conv2d.h), out_h and out_w at least 2
 *   output  int8 [out_h / 2, out_w / 2, out_c]; error: of that, 0 where the output is 0
 *   places  uint8: of output i bits 2 * (i % 4) of byte i / 4 say which of its window, in row-major
 *           order, it is; other bits are 0
 *
 * What pt_conv2d.h says of tensors, sums, buffers and scratch holds here too.
 */
#ifndef PT_CONV2D_POOL_H
#define PT_CONV2D_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_conv2d.h"
#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

static inline uint32_t pt_pooled_size(const struct pt_shape *shape)
{
    return (uint32_t)(shape->out_h / 2u) * (shape->out_w / 2u) * shape->out_c;
}

static inline uint32_t pt_places_size(const struct pt_shape *shape)
{
    return (pt_pooled_size(shape) + 3u) / 4u;
}

/* Which element of its window output i is, 0..3. */
static inline uint32_t pt_place_of(const uint8_t *places, uint32_t i)
{
    return (uint32_t)places[i / 4u] >> 2u * (i % 4u) & 3u;
}

enum { PT_POOL_BLOCKS = 2, PT_MOST_POOL_LANES = 2048 };

/* Blocks of PT_LANES output channels that share the lists of a forward pass: two of them, if the
 * lanes of one take no more than PT_MOST_POOL_LANES bytes. */
static inline uint32_t pt_conv2d_pool_blocks(const struct pt_shape *shape)
{
    const uint32_t lanes = 2u * PT_LANES * pt_shape_patch_size(shape);
    return shape->out_c > PT_LANES && lanes <= PT_MOST_POOL_LANES ? PT_POOL_BLOCKS : 1u;
}

/* For each block two rows of outputs of PT_LANES channels more, and its lanes. */
static inline uint32_t pt_conv2d_pool_forward_scratch(const struct pt_shape *shape)
{
    const uint32_t blocks = pt_conv2d_pool_blocks(shape);
    return pt_conv2d_forward_scratch(shape) + blocks * 2u * PT_LANES * shape->out_w +
           (blocks - 1u) * 2u * PT_LANES * pt_shape_patch_size(shape);
}

/* A row of the convolution's output has no more errors than one of the pool's. */
static inline uint32_t pt_conv2d_pool_error_scratch(const struct pt_shape *shape)
{
    const uint32_t padding = shape->kernel_w - 1u - shape->padding_w;
    const uint32_t errors = (uint32_t)(shape->out_w / 2u) * shape->out_c;
    const uint32_t sums = shape->in_c > PT_LANES ? shape->in_c : PT_LANES;
    return 4u * shape->kernel_h * (2u * errors + shape->out_w + 2u * padding + 2u) +
           2u * PT_LANES * (uint32_t)shape->kernel_h * shape->kernel_w * shape->out_c +
           4u * shape->in_w * sums + pt_round4(pt_shape_patch_size(shape));
}

static inline uint32_t pt_conv2d_pool_gradient_scratch(const struct pt_shape *shape)
{
    const uint32_t positions = (uint32_t)(shape->out_h / 2u) * (shape->out_w / 2u);
    const uint32_t errors = positions < PT_ERROR_BUDGET ? positions : PT_ERROR_BUDGET;
    return 4u * pt_conv2d_pair_words(shape) + 32u + 8u * positions + 8u * errors + 4u;
}

/* Shift 0..24. Scratch: pt_conv2d_pool_forward_scratch. Returns how many of the convolution's
 * outputs saturated. */
uint32_t pt_conv2d_pool_forward_s8(const struct pt_shape *shape, const int8_t *input,
                                   const struct pt_edges *edges, uint32_t shift, void *scratch,
                                   int8_t *output, uint8_t *places);

/*
 * The error of the input, int8 [in_h, in_w, in_c]: requantised, then 0 wherever activation, the
 * input, is 0; activation may be NULL: no ReLU. Scratch: ..._error_scratch. Returns how many
 * saturated before that.
 */
uint32_t pt_conv2d_pool_error_s8(const struct pt_shape *shape, const int8_t *error,
                                 const uint8_t *places, const struct pt_edges *edges,
                                 const int8_t *activation, uint32_t shift, void *scratch,
                                 int8_t *input_error);

/* As pt_conv2d_gradient_begin and pt_conv2d_gradient_row_s32. Scratch: ..._gradient_scratch. */
void pt_conv2d_pool_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                                   const int8_t *error, void *scratch);
void pt_conv2d_pool_gradient_row_s32(const struct pt_shape *shape, uint32_t row,
                                     const int8_t *error, const uint8_t *places, void *scratch,
                                     int32_t *gradient);

#endif
