/*
 * 2-D convolution, forward and backward: any kernel, zero padding, stride 1 or 2.
 *
 *   input   int8 [in_h, in_w, in_c]      weights int8 [out_c, kernel_h, kernel_w, in_c]
 *   output  int8 [out_h, out_w, out_c]   error   int8 [out_h, out_w, out_c]
 *
 * K = kernel_h * kernel_w * in_c. Buffers must not overlap. Sums have at most 2^17 terms.
 */
#ifndef PT_CONV2D_H
#define PT_CONV2D_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_shape.h"

/* Accumulators int32 [out_h, out_w, out_c]. Scratch: patch int8 [K]. */
void pt_conv2d_forward_s32(const struct pt_shape *shape, const int8_t *input,
                           const int8_t *weights, int8_t *patch, int32_t *output);

/* Requantised output; shift 0..24. Scratch: patch int8 [K]. Returns how many outputs saturated. */
uint32_t pt_conv2d_forward_s8(const struct pt_shape *shape, const int8_t *input,
                              const int8_t *weights, uint32_t shift, bool relu, int8_t *patch,
                              int8_t *output);

/*
 * Adds output channel `row`'s part of the input error: accumulator int32 [in_h, in_w, in_c],
 * row_weights int8 [K]. Zero errors are skipped, which is exact.
 */
void pt_conv2d_error_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                             const int8_t *row_weights, int32_t *accumulator);

/* Gradient of output channel `row`: gradient int32 [K], overwritten. Zero errors are skipped. */
void pt_conv2d_gradient_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *input,
                                const int8_t *error, int32_t *gradient);

#endif
