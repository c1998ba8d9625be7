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
#include <stddef.h>
#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_memory.h"
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
 * input_error = transposed effective weights * error, int32 [length], overwritten; but 0 where
 * `needed`, int8 [length], is 0 four times from a multiple of four on. NULL: all are needed.
 * Scratch: pt_linear_error_scratch.
 */
void pt_linear_error_s32(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                         const int8_t *needed, void *scratch, int32_t *input_error);

/* Makes 0 what is not needed, where it was made with the rest. */
static inline void pt_linear_leave_out(const int8_t *needed, uint32_t length, int32_t *input_error)
{
    for (uint32_t i = 0; needed != NULL && i + 4u <= length; i += 4u) {
        if ((needed[i] | needed[i + 1u] | needed[i + 2u] | needed[i + 3u]) == 0) {
            memset(input_error + i, 0, 4u * sizeof *input_error);
        }
    }
}

#endif
