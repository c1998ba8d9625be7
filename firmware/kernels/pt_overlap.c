#include "kernels/pt_overlap.h"

#include "kernels/pt_accumulate.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_skips.h"

struct pt_overlap pt_overlap_at(const struct pt_shape *shape, uint32_t y, uint32_t x)
{
    struct pt_overlap window;
    uint32_t column_begin;
    uint32_t column_end;
    pt_overlap_clip(y, shape->stride_h, shape->padding_h, shape->kernel_h, shape->in_h,
                   &window.row_begin, &window.row_end);
    pt_overlap_clip(x, shape->stride_w, shape->padding_w, shape->kernel_w, shape->in_w,
                   &column_begin, &column_end);
    window.kernel_start = column_begin * shape->in_c;
    window.length = (column_end - column_begin) * shape->in_c;
    const uint32_t in_y = y * shape->stride_h + window.row_begin - shape->padding_h;
    const uint32_t in_x = x * shape->stride_w + column_begin - shape->padding_w;
    window.input_start = (in_y * shape->in_w + in_x) * shape->in_c;
    return window;
}

/* A window is one position: no row or column can lie outside. */
static bool is_pointwise(const struct pt_shape *shape)
{
    return shape->kernel_h == 1u && shape->kernel_w == 1u && shape->stride_h == 1u &&
           shape->stride_w == 1u && shape->out_h == shape->in_h && shape->out_w == shape->in_w;
}

static void accumulate_pointwise(const struct pt_shape *shape, const int8_t *error,
                                 const int8_t *from, bool from_kernel, int32_t *to)
{
    const uint32_t end = pt_shape_in_size(shape);
    for (uint32_t at = 0; at < end; at += shape->in_c, error += shape->out_c) {
        if (PT_SKIP_ZEROS && *error == 0) {
            continue;
        }
        pt_accumulate_s32(*error, from_kernel ? from : from + at, shape->in_c,
                          from_kernel ? to + at : to);
    }
}

void pt_overlap_accumulate_s32(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                              const int8_t *from, bool from_kernel, int32_t *to)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    error += row;
    if (is_pointwise(shape)) {
        accumulate_pointwise(shape, error, from, from_kernel, to);
        return;
    }
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x, error += shape->out_c) {
            const int32_t factor = *error;
            if (PT_SKIP_ZEROS && factor == 0) {
                continue;
            }
            const struct pt_overlap window = pt_overlap_at(shape, y, x);
            uint32_t in_kernel = window.row_begin * kernel_row + window.kernel_start;
            uint32_t in_input = window.input_start;
            for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
                pt_accumulate_s32(factor, from + (from_kernel ? in_kernel : in_input),
                                  window.length, to + (from_kernel ? in_input : in_kernel));
                in_kernel += kernel_row;
                in_input += input_row;
            }
        }
    }
}

void pt_overlap_error_s32(const struct pt_shape *shape, const int8_t *error,
                          const struct pt_edges *edges, int8_t *masked, int32_t *input_error)
{
    struct pt_edges left = *edges;
    memset(input_error, 0, pt_shape_in_size(shape) * sizeof *input_error);
    for (uint32_t row = 0; row < shape->out_c; ++row) {
        const int8_t *weights = pt_edges_next_row(&left, masked);
        pt_overlap_accumulate_s32(shape, row, error, weights, true, input_error);
    }
}
