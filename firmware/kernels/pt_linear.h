/*
 * Fully connected layer, forward and backward.
 *
 *   input int8 [length], edges of int8 [rows, length], output [rows], error int8 [rows]
 *
 * Tensors hold -127..127. Sums have at most 2^17 terms. Buffers must not overlap. Scratch is
 * aligned to 4; it needs no initial value and holds nothing afterwards.
 */
#ifndef PT_LINEAR_H
#define PT_LINEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

/* Bytes: a list of the inputs that are not zero, and one effective row. */
static inline uint32_t pt_linear_forward_scratch(uint32_t length)
{
    return 4u * length + pt_round4(length);
}

/* Bytes: one effective row. */
static inline uint32_t pt_linear_error_scratch(uint32_t length)
{
    return pt_round4(length);
}

/* output = effective weights * input, as int32. Scratch: pt_linear_forward_scratch. */
void pt_linear_forward_s32(const int8_t *input, const struct pt_edges *edges, uint32_t rows,
                           void *scratch, int32_t *output);

/* The same, requantised: clamp(RHU(., shift)), shift 0..24. Returns how many outputs saturated. */
uint32_t pt_linear_forward_s8(const int8_t *input, const struct pt_edges *edges, uint32_t rows,
                              uint32_t shift, bool relu, void *scratch, int8_t *output);

/*
 * input_error = transposed effective weights * error, int32 [length], overwritten. Scratch:
 * pt_linear_error_scratch.
 */
void pt_linear_error_s32(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                         void *scratch, int32_t *input_error);

#endif
