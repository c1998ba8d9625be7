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

static bool axis_is_inside(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride,
                           uint32_t padding)
{
    return padding == 0u && (out - 1u) * stride + kernel <= in;
}

/* No window reaches over the edge. */
static bool is_inside(const struct pt_shape *s)
{
    return axis_is_inside(s->in_h, s->out_h, s->kernel_h, s->stride_h, s->padding_h) &&
           axis_is_inside(s->in_w, s->out_w, s->kernel_w, s->stride_w, s->padding_w);
}

/* Sums of a row's errors, and whether there is any. */
static bool sum_errors(const struct pt_shape *shape, const int8_t *error, int32_t *sum)
{
    const int8_t *end = error + pt_shape_out_size(shape);
    bool any = false;
    *sum = 0;
    for (; error < end; error += shape->out_c) {
        *sum += *error;
        any = any || *error != 0;
    }
    return any;
}

/* Every window has all terms, so the zero point comes off the sums at once: both fit int32. */
static bool inner_gradient(const struct pt_shape *shape, uint32_t row, int32_t zero,
                           const int8_t *input, const int8_t *error, int32_t *gradient)
{
    const uint32_t length = pt_shape_patch_size(shape);
    int32_t sum;
    const bool any = sum_errors(shape, error + row, &sum);
    if (any) {
        pt_overlap_accumulate_s32(shape, row, error, input, false, gradient);
    }
    const int32_t less = sum * zero;
    for (uint32_t i = 0; i < length && less != 0; ++i) {
        gradient[i] -= less;
    }
    return any;
}

bool pt_affine_conv2d_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                   const int8_t *input, const int8_t *error, int32_t *gradient)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    bool any = false;
    memset(gradient, 0, pt_shape_patch_size(shape) * sizeof *gradient);
    if (is_inside(shape)) {
        return inner_gradient(shape, row, zero, input, error, gradient);
    }
    error += row;
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
