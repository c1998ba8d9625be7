#include "kernels/pt_affine_inner.h"
#include "kernels/pt_overlap.h"

/* One channel's sum: `columns` elements of a row lie `in_c` apart in the input, 1 in the kernel. */
static int32_t sum_of(const struct pt_shape *shape, const struct pt_overlap *window,
                      const int8_t *weights, const int8_t *input, int32_t zero)
{
    const uint32_t step = shape->in_c;
    const uint32_t columns = window->length / step;
    const uint32_t input_row = shape->in_w * step;
    int32_t sum = 0;
    weights += window->row_begin * shape->kernel_w + window->kernel_start / step;
    input += window->input_start;
    for (uint32_t k = window->row_begin; k < window->row_end; ++k) {
        for (uint32_t i = 0; i < columns; ++i) {
            sum += weights[i] * (input[i * step] - zero);
        }
        weights += shape->kernel_w;
        input += input_row;
    }
    return sum;
}

void pt_affine_depthwise_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                            const struct pt_edges *edges, const int8_t *input, void *scratch,
                            int8_t *output)
{
    struct pt_edges left = *edges;
    const struct pt_factor *factor = affine->factor;
    for (uint32_t c = 0; c < shape->in_c; ++c, ++factor) {
        const int8_t *weights = pt_edges_next_row(&left, scratch);
        int8_t *out = output + c;
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t x = 0; x < shape->out_w; ++x, out += shape->in_c) {
                const struct pt_overlap window = pt_overlap_at(shape, y, x);
                const int32_t sum = sum_of(shape, &window, weights, input + c,
                                           affine->zero_in[0]);
                *out = pt_affine_output(factor->bias + sum, factor, affine);
            }
        }
    }
}
