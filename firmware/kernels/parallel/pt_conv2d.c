#include "kernels/pt_conv2d.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/parallel/pt_error_weights.h"
#include "kernels/parallel/pt_gradient_scratch.h"
#include "kernels/parallel/pt_share.h"

__typeof__(pt_conv2d_forward_s32) pt_conv2d_forward_s32_alone;
__typeof__(pt_conv2d_forward_s8) pt_conv2d_forward_s8_alone;
__typeof__(pt_conv2d_error_s32) pt_conv2d_error_s32_alone;
__typeof__(pt_conv2d_gradient_begin) pt_conv2d_gradient_begin_alone;
__typeof__(pt_conv2d_gradient_row_s32) pt_conv2d_gradient_row_s32_alone;

struct job {
    struct pt_share_parts parts;
    void *scratch[2];
    const int8_t *input; /* or error */
    const struct pt_edges *edges;
    int32_t *sums;
    int8_t *output;
    uint32_t shift;
    bool relu;
    bool packed; /* the weights of an error, for both */
};

static uint32_t half_s32(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    pt_conv2d_forward_s32_alone(&part->shape, job->input + part->input, job->edges,
                                job->scratch[core], job->sums + part->output);
    return 0;
}

void pt_conv2d_forward_s32(const struct pt_shape *shape, const int8_t *input,
                           const struct pt_edges *edges, void *scratch, int32_t *output)
{
    const uint32_t needed = pt_conv2d_forward_scratch(shape);
    struct job job = {
        .scratch = {scratch, pt_share_scratch(needed)}, .input = input, .edges = edges,
        .sums = output,
    };
    if (pt_share_fits(needed) && pt_share_forward(shape, input, &job.parts)) {
        pt_share(half_s32, &job);
    } else {
        pt_conv2d_forward_s32_alone(shape, input, edges, scratch, output);
    }
}

static uint32_t half_s8(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    return pt_conv2d_forward_s8_alone(&part->shape, job->input + part->input, job->edges,
                                      job->shift, job->relu, job->scratch[core],
                                      job->output + part->output);
}

uint32_t pt_conv2d_forward_s8(const struct pt_shape *shape, const int8_t *input,
                              const struct pt_edges *edges, uint32_t shift, bool relu,
                              void *scratch, int8_t *output)
{
    const uint32_t needed = pt_conv2d_forward_scratch(shape);
    struct job job = {
        .scratch = {scratch, pt_share_scratch(needed)}, .input = input, .edges = edges,
        .output = output, .shift = shift, .relu = relu,
    };
    if (pt_share_fits(needed) && pt_share_forward(shape, input, &job.parts)) {
        return pt_share(half_s8, &job);
    }
    return pt_conv2d_forward_s8_alone(shape, input, edges, shift, relu, scratch, output);
}

static uint32_t half_error(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    const int8_t *error = job->input + part->output;
    int32_t *sums = job->sums + part->input;
    if (job->packed) {
        pt_conv2d_error_slice_s32(&part->shape, error, job->scratch[0], job->scratch[core], sums);
    } else {
        pt_conv2d_error_s32_alone(&part->shape, error, job->edges, job->scratch[core], sums);
    }
    return 0;
}

void pt_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                         const struct pt_edges *edges, void *scratch, int32_t *input_error)
{
    const uint32_t needed = pt_conv2d_error_scratch(shape);
    struct job job = {
        .scratch = {scratch, pt_share_scratch(needed)}, .input = error, .edges = edges,
        .sums = input_error,
    };
    if (pt_share_fits(needed) && pt_share_error(shape, &job.parts)) {
        job.packed = pt_error_weights_pack(shape, false, edges, job.scratch);
        pt_share(half_error, &job);
    } else {
        pt_conv2d_error_s32_alone(shape, error, edges, scratch, input_error);
    }
}

void pt_conv2d_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                              const int8_t *error, void *scratch)
{
    if (!pt_gradient_begin(shape, false, input, error, scratch)) {
        pt_conv2d_gradient_begin_alone(shape, input, error, scratch);
    }
}

void pt_conv2d_gradient_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *input,
                                const int8_t *error, void *scratch, int32_t *gradient)
{
    if (!pt_gradient_row(shape, row, error, NULL, scratch, gradient)) {
        pt_conv2d_gradient_row_s32_alone(shape, row, input, error, scratch, gradient);
    }
}
