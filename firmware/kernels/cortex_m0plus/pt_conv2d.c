#include "kernels/pt_conv2d.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_convolution.h"
#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/pt_requantize.h"

/*
 * Accumulators of channels [begin, begin + count) into target [target_h, target_w, channels], which
 * is 0.
 */
static void convolve_s32(struct pt_convolution *c, uint32_t count, uint32_t channels,
                         int32_t *target)
{
    struct pt_lanes_job job = pt_convolution_job(c);
    struct pt_lanes_row rows[PT_MOST_KERNEL_ROWS];
    pt_convolution_restart(c, true);
    for (uint32_t y = 0; y < c->target_h; ++y, target += c->target_w * channels) {
        const enum pt_magnitude magnitude = pt_convolution_rows_under(c, y, rows, &job);
        if (magnitude == PT_NONE) {
            continue;
        }
        if (count == PT_LANES) {
            pt_convolution_sum(magnitude, target, 4u * channels, &job);
            continue;
        }
        pt_convolution_sum_row(c, magnitude, &job);
        for (uint32_t x = 0; x < c->target_w; ++x) {
            for (uint32_t i = 0; i < count; ++i) {
                target[x * channels + i] = c->sums[x * PT_LANES + i];
            }
        }
    }
}

/* The same, requantised. */
static uint32_t convolve_s8(struct pt_convolution *c, uint32_t count, uint32_t channels,
                            uint32_t shift, bool relu, int8_t *target)
{
    struct pt_lanes_job job = pt_convolution_job(c);
    struct pt_lanes_row rows[PT_MOST_KERNEL_ROWS];
    uint32_t saturated = 0;
    pt_convolution_restart(c, false);
    c->negative = c->merged && pt_convolution_any_negative(c->source, c->height * c->width);
    job.shift = shift;
    for (uint32_t y = 0; y < c->target_h; ++y, target += c->target_w * channels) {
        const enum pt_magnitude magnitude = pt_convolution_rows_under(c, y, rows, &job);
        if (magnitude == PT_NONE) {
            continue;
        }
        if (relu && count == PT_LANES && shift != 0u && !c->negative) {
            job.output = target;
            job.output_step = channels;
            pt_lanes_row_relu_s8(&job);
            continue;
        }
        pt_convolution_sum_row(c, magnitude, &job);
        for (uint32_t x = 0; x < c->target_w; ++x) {
            saturated += pt_requantize_s8(c->sums + x * PT_LANES, count, shift, relu,
                                          target + x * channels);
        }
    }
    return saturated + job.saturated;
}

void pt_conv2d_forward_s32(const struct pt_shape *shape, const int8_t *input,
                           const struct pt_edges *edges, void *scratch, int32_t *output)
{
    struct pt_convolution c = pt_convolution_forward(shape, input, scratch);
    struct pt_edges left = *edges;
    memset(output, 0, pt_shape_out_size(shape) * sizeof *output);
    for (uint32_t begin = 0; begin < shape->out_c; begin += PT_LANES) {
        const uint32_t count = pt_convolution_pack(&c, &left, shape->out_c - begin);
        convolve_s32(&c, count, shape->out_c, output + begin);
    }
}

uint32_t pt_conv2d_forward_s8(const struct pt_shape *shape, const int8_t *input,
                              const struct pt_edges *edges, uint32_t shift, bool relu,
                              void *scratch, int8_t *output)
{
    struct pt_convolution c = pt_convolution_forward(shape, input, scratch);
    struct pt_edges left = *edges;
    uint32_t saturated = 0;
    memset(output, 0, pt_shape_out_size(shape));
    for (uint32_t begin = 0; begin < shape->out_c; begin += PT_LANES) {
        const uint32_t count = pt_convolution_pack(&c, &left, shape->out_c - begin);
        saturated += convolve_s8(&c, count, shape->out_c, shift, relu, output + begin);
    }
    return saturated;
}

void pt_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                         const struct pt_edges *edges, void *scratch, int32_t *input_error)
{
    if (shape->stride_h != 1u) {
        /* Not a convolution: between its errors lie places without one. */
        pt_overlap_error_s32(shape, error, edges, scratch, input_error);
        return;
    }
    struct pt_convolution c = pt_convolution_error(shape, error, NULL, scratch);
    memset(input_error, 0, pt_shape_in_size(shape) * sizeof *input_error);
    for (uint32_t begin = 0; begin < shape->in_c; begin += PT_LANES) {
        const uint32_t left = shape->in_c - begin;
        const uint32_t count = left < PT_LANES ? left : PT_LANES;
        pt_convolution_pack_transposed(&c, shape, 0, shape->out_c, edges, begin, count);
        convolve_s32(&c, count, shape->in_c, input_error + begin);
    }
}

void pt_conv2d_error_slice_s32(const struct pt_shape *shape, const int8_t *error, void *shared,
                               void *scratch, int32_t *input_error)
{
    struct pt_convolution c = pt_convolution_error(shape, error, NULL, scratch);
    c.lanes = pt_convolution_error(shape, error, NULL, shared).lanes;
    memset(input_error, 0, pt_shape_in_size(shape) * sizeof *input_error);
    convolve_s32(&c, shape->in_c, shape->in_c, input_error);
}
