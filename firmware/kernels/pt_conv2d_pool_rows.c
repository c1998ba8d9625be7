#include "kernels/pt_conv2d_pool_rows.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/pt_accumulate.h"
#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/pt_requantize.h"

/* One channel's errors of the convolution's output row y; `weights` is the kernel row that lies on
 * the row of sums. */
static void add_row(const struct pt_shape *shape, uint32_t y, uint32_t channel,
                    const int8_t *error, const uint8_t *places, const int8_t *weights,
                    int32_t *sums)
{
    const uint32_t width = shape->out_w / 2u;
    uint32_t at = y / 2u * width * shape->out_c + channel;
    for (uint32_t x = 0; x < width; ++x, at += shape->out_c) {
        const uint32_t place = pt_place_of(places, at);
        if (error[at] == 0 || place >> 1 != (y & 1u)) {
            continue;
        }
        const uint32_t column = 2u * x + (place & 1u);
        uint32_t begin;
        uint32_t end;
        pt_overlap_clip(column, shape->stride_w, shape->padding_w, shape->kernel_w, shape->in_w,
                        &begin, &end);
        const uint32_t first = column * shape->stride_w + begin - shape->padding_w;
        pt_accumulate_s32(error[at], weights + begin * shape->in_c,
                          (end - begin) * shape->in_c, sums + first * shape->in_c);
    }
}

/* The kernel row that lies on input row `in` where the output row is y; false: none does. */
static bool kernel_row_on(const struct pt_shape *shape, uint32_t in, uint32_t y, uint32_t *row)
{
    *row = in + shape->padding_h - y * shape->stride_h; /* huge where it would be negative */
    return *row < shape->kernel_h;
}

uint32_t pt_conv2d_pool_error_rows_s8(const struct pt_shape *shape, const int8_t *error,
                                      const uint8_t *places, const struct pt_edges *edges,
                                      const int8_t *activation, uint32_t shift, void *scratch,
                                      int8_t *input_error)
{
    const uint32_t row = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    int32_t *sums = scratch;
    int8_t *masked = (int8_t *)(sums + row);
    uint32_t saturated = 0;
    for (uint32_t in = 0; in < shape->in_h; ++in, input_error += row) {
        struct pt_edges left = *edges;
        memset(sums, 0, row * sizeof *sums);
        for (uint32_t channel = 0; channel < shape->out_c; ++channel) {
            const int8_t *weights = pt_edges_next_row(&left, masked);
            for (uint32_t y = 0; y < shape->out_h / 2u * 2u; ++y) {
                uint32_t k;
                if (kernel_row_on(shape, in, y, &k)) {
                    add_row(shape, y, channel, error, places, weights + k * kernel_row, sums);
                }
            }
        }
        saturated += pt_requantize_error_s8(sums, activation, row, shift, input_error);
        if (activation != NULL) {
            activation += row;
        }
    }
    return saturated;
}
