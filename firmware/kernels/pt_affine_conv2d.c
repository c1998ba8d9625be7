#include "kernels/pt_affine_inner.h"
#include "kernels/pt_overlap.h"

void pt_affine_conv2d_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const int8_t *weights, const int8_t *input, int8_t *output)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t patch = pt_shape_patch_size(shape);
    const int32_t zero = affine->zero_in[0];
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            const struct pt_overlap window = pt_overlap_at(shape, y, x);
            const int8_t *row = weights + window.row_begin * kernel_row + window.kernel_start;
            for (uint32_t c = 0; c < shape->out_c; ++c, row += patch) {
                const int8_t *from = input + window.input_start;
                const int8_t *line = row;
                int32_t sum = affine->factor[c].bias;
                for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
                    sum += pt_affine_dot(line, from, zero, window.length);
                    line += kernel_row;
                    from += input_row;
                }
                *output++ = pt_affine_output(sum, &affine->factor[c], affine);
            }
        }
    }
}
