#include "kernels/pt_affine_backward.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/pt_skips.h"

/* The part of one channel's kernel that lies on the input at one output position. */
struct taps {
    uint32_t rows;
    uint32_t columns;
    uint32_t kernel; /* its first tap */
    uint32_t input;  /* the input element under that */
};

/* Those of a line of outputs, as if all columns were inside. */
static struct taps taps_of_line(const struct pt_shape *shape, uint32_t y)
{
    struct taps taps;
    uint32_t row;
    pt_overlap_clip(y, shape->stride_h, shape->padding_h, shape->kernel_h, shape->in_h, &row,
                    &taps.rows);
    const uint32_t in_y = y * shape->stride_h + row - shape->padding_h;
    taps.rows -= row;
    taps.columns = shape->kernel_w;
    taps.kernel = row * shape->kernel_w;
    taps.input = in_y * shape->in_w * shape->in_c;
    return taps;
}

static struct taps taps_at(const struct pt_shape *shape, struct taps line, uint32_t x)
{
    uint32_t column;
    pt_overlap_clip(x, shape->stride_w, shape->padding_w, shape->kernel_w, shape->in_w, &column,
                    &line.columns);
    line.columns -= column;
    line.kernel += column;
    line.input += (x * shape->stride_w + column - shape->padding_w) * shape->in_c;
    return line;
}

static void add_errors(const struct pt_shape *shape, const struct taps *taps, int32_t factor,
                       const int8_t *weights, int32_t *sums)
{
    const uint32_t step = shape->in_c;
    weights += taps->kernel;
    sums += taps->input;
    for (uint32_t ky = 0; ky < taps->rows; ++ky) {
        for (uint32_t kx = 0; kx < taps->columns; ++kx) {
            sums[kx * step] += factor * weights[kx];
        }
        weights += shape->kernel_w;
        sums += shape->in_w * step;
    }
}

static void add_inputs(const struct pt_shape *shape, const struct taps *taps, int32_t factor,
                       const int8_t *input, int32_t zero, int32_t *gradient)
{
    const uint32_t step = shape->in_c;
    gradient += taps->kernel;
    input += taps->input;
    for (uint32_t ky = 0; ky < taps->rows; ++ky) {
        for (uint32_t kx = 0; kx < taps->columns; ++kx) {
            gradient[kx] += factor * (input[kx * step] - zero);
        }
        gradient += shape->kernel_w;
        input += shape->in_w * step;
    }
}

void pt_affine_depthwise_error_s32(const struct pt_shape *shape, const int8_t *error,
                                   const struct pt_edges *edges, void *scratch, int32_t *sums)
{
    struct pt_edges left = *edges;
    memset(sums, 0, pt_shape_in_size(shape) * sizeof *sums);
    for (uint32_t c = 0; c < shape->in_c; ++c) {
        const int8_t *weights = pt_edges_next_row(&left, scratch);
        const int8_t *from = error + c;
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            const struct taps line = taps_of_line(shape, y);
            for (uint32_t x = 0; x < shape->out_w; ++x, from += shape->out_c) {
                if (PT_SKIP_ZEROS && *from == 0) {
                    continue;
                }
                const struct taps taps = taps_at(shape, line, x);
                add_errors(shape, &taps, *from, weights, sums + c);
            }
        }
    }
}

bool pt_affine_depthwise_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                      const int8_t *input, const int8_t *error,
                                      int32_t *gradient)
{
    bool any = false;
    error += row;
    memset(gradient, 0, (uint32_t)shape->kernel_h * shape->kernel_w * sizeof *gradient);
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        const struct taps line = taps_of_line(shape, y);
        for (uint32_t x = 0; x < shape->out_w; ++x, error += shape->out_c) {
            if (*error == 0) {
                continue;
            }
            const struct taps taps = taps_at(shape, line, x);
            add_inputs(shape, &taps, *error, input + row, zero, gradient);
            any = true;
        }
    }
    return any;
}
