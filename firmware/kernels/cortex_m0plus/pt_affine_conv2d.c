#include "kernels/cortex_m0plus/pt_affine_rows.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"

struct convolution {
    const struct pt_shape *shape;
    const int8_t *input;
    bool in_place; /* a patch is a stretch of the input, on a word boundary */
    int8_t zero;   /* what lies outside */
};

static void copy(int8_t *to, const int8_t *from, uint32_t length)
{
    for (const int8_t *end = from + length; from != end;) {
        *to++ = *from++;
    }
}

/* The patch under the window at y, x; made in `patch` unless it stands in the input. */
static const int8_t *patch_at(const struct convolution *c, uint32_t y, uint32_t x, int8_t *patch)
{
    const struct pt_shape *shape = c->shape;
    if (c->in_place) {
        return c->input + (y * shape->in_w + x) * shape->in_c;
    }
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const struct pt_overlap window = pt_overlap_at(shape, y, x);
    if (window.length != kernel_row || window.row_end - window.row_begin != shape->kernel_h) {
        memset(patch, c->zero, pt_shape_patch_size(shape));
    }
    int8_t *to = patch + window.row_begin * kernel_row + window.kernel_start;
    const int8_t *from = c->input + window.input_start;
    for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
        copy(to, from, window.length);
        to += kernel_row;
        from += (uint32_t)shape->in_w * shape->in_c;
    }
    return patch;
}

void pt_affine_conv2d_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output)
{
    const uint32_t positions = pt_shape_positions(shape);
    struct pt_affine_rows rows;
    pt_affine_rows_at(&rows, affine, pt_shape_patch_size(shape), positions, scratch);
    const struct convolution convolution = {
        .shape = shape,
        .input = input,
        .in_place = shape->kernel_h == 1u && shape->kernel_w == 1u && shape->stride_h == 1u &&
                    shape->stride_w == 1u && (((uintptr_t)input | shape->in_c) & 3u) == 0u &&
                    shape->out_w == shape->in_w,
        .zero = (int8_t)affine->zero_in[0],
    };
    uint32_t y = 0;
    uint32_t x = 0;
    for (uint32_t done = 0, count; done != positions; done += count) {
        const int8_t *patch[2] = {NULL, NULL};
        count = positions - done < rows.tile ? positions - done : rows.tile;
        for (uint32_t i = 0; i < count; ++i) {
            patch[i & 1u] = patch_at(&convolution, y, x, rows.patch[i & 1u]);
            if (++x == shape->out_w) {
                x = 0;
                ++y;
            }
            if ((i & 1u) != 0u || i + 1u == count) {
                /* Alone at the end, it is its own neighbour. */
                pt_affine_rows_put(&rows, i, patch[0], patch[i & 1u]);
            }
        }
        struct pt_edges left = *edges;
        for (uint32_t c = 0; c < shape->out_c; ++c) {
            pt_affine_rows_forward(&rows, pt_edges_next_row(&left, rows.row), &affine->factor[c],
                                   count, output + done * shape->out_c + c, shape->out_c);
        }
    }
}
