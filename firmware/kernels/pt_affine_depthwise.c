#include "kernels/pt_affine_inner.h"
#include "kernels/pt_overlap.h"

/* One channel's sum: `columns` elements of a row lie `step` apart in the input, 1 in the kernel. */
static int32_t sum_of(const struct pt_shape *shape, const struct pt_overlap *window,
                      uint32_t columns, const int8_t *weights, const int8_t *input, int32_t zero)
{
    const uint32_t step = shape->in_c;
    const uint32_t input_row = shape->in_w * step;
    int32_t sum = 0;
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
                            const int8_t *weights, const int8_t *input, int8_t *output)
{
    const uint32_t channels = shape->in_c;
    const uint32_t taps = (uint32_t)shape->kernel_h * shape->kernel_w;
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            const struct pt_overlap window = pt_overlap_at(shape, y, x);
            const uint32_t columns = window.length / channels;
            const int8_t *row = weights + window.row_begin * shape->kernel_w +
                                window.kernel_start / channels;
            const int8_t *from = input + window.input_start;
            for (uint32_t c = 0; c < channels; ++c, row += taps) {
                const int32_t sum = sum_of(shape, &window, columns, row, from + c,
                                           affine->zero_in[0]);
                *output++ = pt_affine_output(affine->factor[c].bias + sum, &affine->factor[c],
                                             affine);
            }
        }
    }
}
