#include "kernels/pt_affine_backward.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"

void pt_affine_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                                const struct pt_edges *edges, void *scratch, int32_t *sums)
{
    pt_overlap_error_s32(shape, error, edges, scratch, sums);
}

static void accumulate(int32_t factor, const int8_t *input, int32_t zero, uint32_t length,
                       int32_t *sums)
{
    for (uint32_t i = 0; i < length; ++i) {
        sums[i] += factor * (input[i] - zero);
    }
}

bool pt_affine_conv2d_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                   const int8_t *input, const int8_t *error, int32_t *gradient)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    bool any = false;
    error += row;
    memset(gradient, 0, pt_shape_patch_size(shape) * sizeof *gradient);
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x, error += shape->out_c) {
            const int32_t factor = *error;
            if (factor == 0) {
                continue;
            }
            const struct pt_overlap window = pt_overlap_at(shape, y, x);
            const int8_t *from = input + window.input_start;
            int32_t *to = gradient + window.row_begin * kernel_row + window.kernel_start;
            for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
                accumulate(factor, from, zero, window.length, to);
                from += input_row;
                to += kernel_row;
            }
            any = true;
        }
    }
    return any;
}
