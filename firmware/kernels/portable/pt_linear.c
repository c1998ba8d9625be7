#include "kernels/pt_linear.h"

#include "kernels/pt_memory.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"

static int32_t dot_s8(const int8_t *a, const int8_t *b, uint32_t length)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < length; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

void pt_linear_forward_s32(const int8_t *input, const struct pt_edges *edges, uint32_t rows,
                           void *scratch, int32_t *output)
{
    struct pt_edges left = *edges;
    for (uint32_t row = 0; row < rows; ++row) {
        output[row] = dot_s8(input, pt_edges_next_row(&left, scratch), edges->row_length);
    }
}

uint32_t pt_linear_forward_s8(const int8_t *input, const struct pt_edges *edges, uint32_t rows,
                              uint32_t shift, bool relu, void *scratch, int8_t *output)
{
    struct pt_edges left = *edges;
    uint32_t saturated = 0;
    for (uint32_t row = 0; row < rows; ++row) {
        const int32_t sum = dot_s8(input, pt_edges_next_row(&left, scratch), edges->row_length);
        output[row] = pt_requantize_s32(sum, shift, relu, &saturated);
    }
    return saturated;
}

void pt_linear_error_s32(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                         const int8_t *needed, void *scratch, int32_t *input_error)
{
    struct pt_edges left = *edges;
    memset(input_error, 0, edges->row_length * sizeof *input_error);
    for (uint32_t row = 0; row < rows; ++row) {
        const int8_t *weights = pt_edges_next_row(&left, scratch);
        const int32_t factor = error[row];
        if (PT_SKIP_ZEROS && factor == 0) {
            continue;
        }
        for (uint32_t i = 0; i < edges->row_length; ++i) {
            input_error[i] += factor * weights[i];
        }
    }
    pt_linear_leave_out(needed, edges->row_length, input_error);
}
