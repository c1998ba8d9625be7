#include "kernels/pt_conv2d.h"

#include "kernels/pt_linear.h"
#include "kernels/pt_memory.h"

/* The part of the kernel that lies on the input at one output position. */
struct window {
    uint32_t row_begin;    /* kernel rows [row_begin, row_end) are inside */
    uint32_t row_end;
    uint32_t kernel_start; /* first inside element of a kernel row */
    uint32_t length;       /* inside elements of a kernel row */
    uint32_t input_start;  /* input element under kernel row row_begin, kernel_start */
};

/* First and one-past-last kernel index inside [0, extent); never empty, as padding < kernel. */
static void clip(uint32_t position, uint32_t stride, uint32_t padding, uint32_t kernel,
                 uint32_t extent, uint32_t *begin, uint32_t *end)
{
    const uint32_t origin = position * stride; /* of the padded input */
    *begin = origin < padding ? padding - origin : 0u;
    const uint32_t room = extent + padding - origin;
    *end = kernel < room ? kernel : room;
}

static struct window window_at(const struct pt_shape *shape, uint32_t y, uint32_t x)
{
    struct window window;
    uint32_t column_begin;
    uint32_t column_end;
    clip(y, shape->stride, shape->padding_h, shape->kernel_h, shape->in_h, &window.row_begin,
         &window.row_end);
    clip(x, shape->stride, shape->padding_w, shape->kernel_w, shape->in_w, &column_begin,
         &column_end);
    window.kernel_start = column_begin * shape->in_c;
    window.length = (column_end - column_begin) * shape->in_c;
    const uint32_t in_y = y * shape->stride + window.row_begin - shape->padding_h;
    const uint32_t in_x = x * shape->stride + column_begin - shape->padding_w;
    window.input_start = (in_y * shape->in_w + in_x) * shape->in_c;
    return window;
}

static void gather_patch(const struct pt_shape *shape, uint32_t y, uint32_t x,
                         const int8_t *input, int8_t *patch)
{
    const struct window window = window_at(shape, y, x);
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t rows = window.row_end - window.row_begin;
    if (window.length != kernel_row || rows != shape->kernel_h) {
        memset(patch, 0, pt_shape_patch_size(shape));
    }
    int8_t *to = patch + window.row_begin * kernel_row + window.kernel_start;
    const int8_t *from = input + window.input_start;
    for (uint32_t row = 0; row < rows; ++row) {
        for (uint32_t i = 0; i < window.length; ++i) {
            to[i] = from[i];
        }
        to += kernel_row;
        from += input_row;
    }
}

void pt_conv2d_forward_s32(const struct pt_shape *shape, const int8_t *input,
                           const int8_t *weights, int8_t *patch, int32_t *output)
{
    const uint32_t length = pt_shape_patch_size(shape);
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            gather_patch(shape, y, x, input, patch);
            pt_linear_forward_s32(patch, weights, length, shape->out_c, output);
            output += shape->out_c;
        }
    }
}

uint32_t pt_conv2d_forward_s8(const struct pt_shape *shape, const int8_t *input,
                              const int8_t *weights, uint32_t shift, bool relu, int8_t *patch,
                              int8_t *output)
{
    const uint32_t length = pt_shape_patch_size(shape);
    uint32_t saturated = 0;
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            gather_patch(shape, y, x, input, patch);
            saturated += pt_linear_forward_s8(patch, weights, length, shape->out_c, shift, relu,
                                              output);
            output += shape->out_c;
        }
    }
    return saturated;
}

/*
 * For every error of output channel `row` that is not zero: to += error * from, under its window.
 * One of `from` and `to` is laid out as the input, the other as the kernel.
 */
static void accumulate_windows(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                               const int8_t *from, bool from_kernel, int32_t *to)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t from_step = from_kernel ? kernel_row : input_row;
    const uint32_t to_step = from_kernel ? input_row : kernel_row;
    error += row;
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            const int32_t factor = *error;
            error += shape->out_c;
            if (factor == 0) {
                continue;
            }
            const struct window window = window_at(shape, y, x);
            const uint32_t kernel_start = window.row_begin * kernel_row + window.kernel_start;
            const int8_t *vector = from + (from_kernel ? kernel_start : window.input_start);
            int32_t *sums = to + (from_kernel ? window.input_start : kernel_start);
            for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
                pt_linear_accumulate_s32(factor, vector, window.length, sums);
                vector += from_step;
                sums += to_step;
            }
        }
    }
}

void pt_conv2d_error_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                             const int8_t *row_weights, int32_t *accumulator)
{
    accumulate_windows(shape, row, error, row_weights, true, accumulator);
}

void pt_conv2d_gradient_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *input,
                                const int8_t *error, int32_t *gradient)
{
    memset(gradient, 0, pt_shape_patch_size(shape) * sizeof *gradient);
    accumulate_windows(shape, row, error, input, false, gradient);
}
