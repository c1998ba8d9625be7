#include "kernels/pt_affine_inner.h"
#include "kernels/pt_overlap.h"

/* One row of weights under one window. */
static int32_t sum_of(const struct pt_shape *shape, const struct pt_overlap *window,
                      const int8_t *weights, const int8_t *input, int32_t zero)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    int32_t sum = 0;
    weights += window->row_begin * kernel_row + window->kernel_start;
    input += window->input_start;
    for (uint32_t k = window->row_begin; k < window->row_end; ++k) {
        sum += pt_affine_dot(weights, input, zero, window->length);
        weights += kernel_row;
        input += input_row;
    }
    return sum;
}

void pt_affine_conv2d_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output)
{
    struct pt_edges left = *edges;
    const struct pt_factor *factor = affine->factor;
    for (uint32_t c = 0; c < shape->out_c; ++c, ++factor) {
        const int8_t *weights = pt_edges_next_row(&left, scratch);
        int8_t *out = output + c;
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t x = 0; x < shape->out_w; ++x, out += shape->out_c) {
                const struct pt_overlap window = pt_overlap_at(shape, y, x);
                const int32_t sum = sum_of(shape, &window, weights, input, affine->zero_in[0]);
                *out = pt_affine_output(factor->bias + sum, factor, affine);
            }
        }
    }
}
