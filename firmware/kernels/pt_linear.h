/*
 * Fully connected layer, forward and backward. A convolution at one output position is the same
 * thing on a patch, so conv2d is built on these.
 *
 *   input   int8 [length], weights int8 [rows, length], output [rows].
 *
 * Buffers must not overlap. No scratch. Sums have at most 2^17 terms of int8 * int8.
 */
#ifndef PT_LINEAR_H
#define PT_LINEAR_H

#include <stdbool.h>
#include <stdint.h>

/* output = weights * input, as int32. */
void pt_linear_forward_s32(const int8_t *input, const int8_t *weights, uint32_t length,
                           uint32_t rows, int32_t *output);

/* output = clamp(RHU(weights * input, shift)), shift 0..24. Returns how many outputs saturated. */
uint32_t pt_linear_forward_s8(const int8_t *input, const int8_t *weights, uint32_t length,
                              uint32_t rows, uint32_t shift, bool relu, int8_t *output);

/*
 * accumulator[i] += factor * vector[i], i < length. With a row of weights and that row's error this
 * is the error of the input; with an input and an error it is a row of the gradient.
 */
void pt_linear_accumulate_s32(int32_t factor, const int8_t *vector, uint32_t length,
                              int32_t *accumulator);

#endif
