#include "kernels/pt_affine_backward.h"

#include <stddef.h>

#include "kernels/pt_overlap.h"

/* The windows of one axis that a position lies in: outputs [begin, end), moved on from the position
 * before. */
struct reach {
    uint32_t begin;
    uint32_t end;
};

static void move_to(struct reach *reach, uint32_t position, uint32_t kernel, uint32_t stride,
                    uint32_t padding, uint32_t outputs)
{
    const uint32_t padded = position + padding;
    while (reach->begin * stride + kernel <= padded) {
        ++reach->begin;
    }
    while (reach->end < outputs && reach->end * stride <= padded) {
        ++reach->end;
    }
}

static uint32_t most_windows(uint32_t kernel, uint32_t stride, uint32_t outputs)
{
    const uint32_t windows = (kernel + stride - 1u) / stride;
    return windows < outputs ? windows : outputs;
}

uint32_t pt_affine_pool_shift(const struct pt_shape *shape)
{
    return pt_range_bits(most_windows(shape->kernel_h, shape->stride_h, shape->out_h) *
                         most_windows(shape->kernel_w, shape->stride_w, shape->out_w));
}

/* True where the element at [y, x] is the first maximum of the window. */
static bool is_first_maximum(const struct pt_shape *shape, const struct pt_overlap *window,
                             const int8_t *input, uint32_t at)
{
    const int32_t value = input[at];
    uint32_t row = window->input_start;
    for (uint32_t k = window->row_begin; k < window->row_end; ++k) {
        for (uint32_t i = row; i < row + window->length; i += shape->in_c) {
            if (input[i] > value || (input[i] == value && i < at)) {
                return false;
            }
        }
        row += (uint32_t)shape->in_w * shape->in_c;
    }
    return true;
}

/* `input` NULL: an average. */
static int32_t sum_of_windows(const struct pt_shape *shape, const struct reach *rows,
                              const struct reach *columns, const int8_t *input, uint32_t at,
                              const int8_t *error)
{
    int32_t sum = 0;
    for (uint32_t y = rows->begin; y < rows->end; ++y) {
        const int8_t *line = error + y * shape->out_w * shape->out_c;
        for (uint32_t x = columns->begin; x < columns->end; ++x) {
            const int32_t value = line[x * shape->out_c];
            if (input != NULL && value != 0) {
                const struct pt_overlap window = pt_overlap_at(shape, y, x);
                sum += is_first_maximum(shape, &window, input, at) ? value : 0;
            } else {
                sum += value;
            }
        }
    }
    return sum;
}

static bool is_one(const struct reach *reach)
{
    return reach->begin + 1u == reach->end;
}

/* All channels of a position that lies in one window alone: what the average's error is there. */
static void put_one(const struct pt_merge *merge, uint32_t at, uint32_t channels,
                    const int8_t *error, uint32_t shift)
{
    for (uint32_t c = 0; c < channels; ++c) {
        pt_merge_put(merge, at + c, pt_rhu_s32(error[c], shift));
    }
}

static void gather(const struct pt_shape *shape, const int8_t *input, const int8_t *error,
                   const struct pt_merge *merge)
{
    const uint32_t shift = input == NULL ? pt_affine_pool_shift(shape) : 0u;
    struct reach rows = {0, 0};
    uint32_t at = 0;
    for (uint32_t y = 0; y < shape->in_h; ++y) {
        struct reach columns = {0, 0};
        move_to(&rows, y, shape->kernel_h, shape->stride_h, shape->padding_h, shape->out_h);
        for (uint32_t x = 0; x < shape->in_w; ++x) {
            move_to(&columns, x, shape->kernel_w, shape->stride_w, shape->padding_w, shape->out_w);
            if (input == NULL && is_one(&rows) && is_one(&columns)) {
                const uint32_t window = rows.begin * shape->out_w + columns.begin;
                put_one(merge, at, shape->in_c, error + window * shape->out_c, shift);
                at += shape->in_c;
                continue;
            }
            for (uint32_t c = 0; c < shape->in_c; ++c, ++at) {
                const int8_t *from = input == NULL ? NULL : input + c;
                const int32_t sum = sum_of_windows(shape, &rows, &columns, from, at - c,
                                                   error + c);
                pt_merge_put(merge, at, pt_clamp_s8(pt_rhu_s32(sum, shift)));
            }
        }
    }
}

void pt_affine_maxpool_error_s8(const struct pt_shape *shape, const int8_t *input,
                                const int8_t *error, const struct pt_merge *merge)
{
    gather(shape, input, error, merge);
}

void pt_affine_avgpool_error_s8(const struct pt_shape *shape, const int8_t *error,
                                const struct pt_merge *merge)
{
    gather(shape, NULL, error, merge);
}
