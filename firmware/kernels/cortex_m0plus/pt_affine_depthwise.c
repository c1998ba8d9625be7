#include "kernels/cortex_m0plus/pt_affine_rows.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"

/* One channel's patch under the window at y, x. */
static void gather(const struct pt_shape *shape, const int8_t *input, int32_t zero, uint32_t y,
                   uint32_t x, int8_t *patch)
{
    const uint32_t channels = shape->in_c;
    const struct pt_overlap window = pt_overlap_at(shape, y, x);
    memset(patch, zero, (uint32_t)shape->kernel_h * shape->kernel_w);
    int8_t *to = patch + window.row_begin * shape->kernel_w + window.kernel_start / channels;
    const int8_t *from = input + window.input_start;
    for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
        int8_t *next = to;
        for (uint32_t i = 0; i < window.length; i += channels) {
            *next++ = from[i];
        }
        to += shape->kernel_w;
        from += (uint32_t)shape->in_w * channels;
    }
}

void pt_affine_depthwise_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                            const struct pt_edges *edges, const int8_t *input, void *scratch,
                            int8_t *output)
{
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t channels = shape->in_c;
    const uint32_t taps = (uint32_t)shape->kernel_h * shape->kernel_w;
    const struct pt_affine_rows rows = pt_affine_rows_at(affine, taps, positions, scratch);
    struct pt_edges left = *edges;
    for (uint32_t c = 0; c < channels; ++c) {
        const int8_t *weights = pt_edges_next_row(&left, rows.row);
        uint32_t y = 0;
        uint32_t x = 0;
        for (uint32_t done = 0, count; done != positions; done += count) {
            count = positions - done < rows.tile ? positions - done : rows.tile;
            for (uint32_t i = 0; i < count; ++i) {
                gather(shape, input + c, affine->zero_in[0], y, x, rows.patch[i & 1u]);
                if (++x == shape->out_w) {
                    x = 0;
                    ++y;
                }
                if ((i & 1u) != 0u || i + 1u == count) {
                    pt_affine_rows_put(&rows, i, rows.patch[0], rows.patch[i & 1u]);
                }
            }
            pt_affine_rows_forward(&rows, weights, &affine->factor[c], count,
                                   output + done * channels + c, channels);
        }
    }
}
