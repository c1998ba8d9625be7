/*
 * 2-D convolution, forward and backward: any kernel, zero padding, stride 1 or 2.
 *
 *   input   int8 [in_h, in_w, in_c]      edges of int8 [out_c, kernel_h, kernel_w, in_c]
 *   output  int8 [out_h, out_w, out_c]   error int8 [out_h, out_w, out_c]
 *
 * K = kernel_h * kernel_w * in_c is the length of a row of edges. Tensors hold -127..127. Sums have
 * at most 2^17 terms. Buffers must not overlap. Scratch is aligned to 4, of the size that the
 * function next to each kernel gives; it needs no initial value and holds nothing afterwards,
 * except between pt_conv2d_gradient_begin and the last row.
 */
#ifndef PT_CONV2D_H
#define PT_CONV2D_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

enum pt_conv2d_block {
    PT_LANES = 8,          /* output channels that the tuned kernel makes at a time */
    PT_ERROR_BUDGET = 258, /* 127 * 258 < 2^15: so much sum |error| fits 16-bit lanes */
};

/* Bytes of the lists that the tuned kernel makes of kernel_h rows of a tensor, and of its lanes. */
static inline uint32_t pt_conv2d_lists_size(const struct pt_shape *shape, uint32_t width,
                                            uint32_t channels, uint32_t padding)
{
    const uint32_t row = 2u * width * channels + width + 2u * padding + 2u;
    return 4u * shape->kernel_h * row +
           2u * PT_LANES * (uint32_t)shape->kernel_h * shape->kernel_w * channels;
}

static inline uint32_t pt_conv2d_forward_scratch(const struct pt_shape *shape)
{
    return pt_conv2d_lists_size(shape, shape->in_w, shape->in_c, shape->padding_w) +
           4u * PT_LANES * shape->out_w + pt_round4(pt_shape_patch_size(shape));
}

static inline uint32_t pt_conv2d_error_scratch(const struct pt_shape *shape)
{
    return pt_conv2d_lists_size(shape, shape->out_w, shape->out_c,
                                shape->kernel_w - 1u - shape->padding_w) +
           4u * PT_LANES * shape->in_w + pt_round4(pt_shape_patch_size(shape));
}

/* Words of the padded input as pairs. */
static inline uint32_t pt_conv2d_pair_words(const struct pt_shape *shape)
{
    const uint32_t padded = (shape->in_h + 2u * shape->padding_h) *
                            (shape->in_w + 2u * shape->padding_w) * shape->in_c;
    return shape->in_c % 2u == 0u ? padded / 2u : padded;
}

/* These, the positions that have an error, and one channel's errors. */
static inline uint32_t pt_conv2d_gradient_scratch(const struct pt_shape *shape)
{
    return 4u * pt_conv2d_pair_words(shape) + 32u + 8u * pt_shape_positions(shape) +
           8u * PT_ERROR_BUDGET + 4u;
}

/* Accumulators int32 [out_h, out_w, out_c]. Scratch: pt_conv2d_forward_scratch. */
void pt_conv2d_forward_s32(const struct pt_shape *shape, const int8_t *input,
                           const struct pt_edges *edges, void *scratch, int32_t *output);

/* Requantised output; shift 0..24. The same scratch. Returns how many outputs saturated. */
uint32_t pt_conv2d_forward_s8(const struct pt_shape *shape, const int8_t *input,
                              const struct pt_edges *edges, uint32_t shift, bool relu,
                              void *scratch, int8_t *output);

/* The error of the input, int32 [in_h, in_w, in_c], overwritten. Scratch: ..._error_scratch. */
void pt_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                         const struct pt_edges *edges, void *scratch, int32_t *input_error);

/*
 * Gradient of one output channel: int32 [K], overwritten. First `begin` once for a layer's input
 * and error; then rows in any order with the same scratch, pt_conv2d_gradient_scratch.
 */
void pt_conv2d_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                              const int8_t *error, void *scratch);
void pt_conv2d_gradient_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *input,
                                const int8_t *error, void *scratch, int32_t *gradient);

#endif
