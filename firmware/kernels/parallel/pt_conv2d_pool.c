#include "kernels/pt_conv2d_pool.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/parallel/pt_core.h"
#include "kernels/parallel/pt_error_weights.h"
#include "kernels/parallel/pt_gradient_scratch.h"
#include "kernels/parallel/pt_share.h"
#include "kernels/pt_memory.h"

__typeof__(pt_conv2d_pool_forward_s8) pt_conv2d_pool_forward_s8_alone;
__typeof__(pt_conv2d_pool_error_s8) pt_conv2d_pool_error_s8_alone;
__typeof__(pt_conv2d_pool_gradient_begin) pt_conv2d_pool_gradient_begin_alone;
__typeof__(pt_conv2d_pool_gradient_row_s32) pt_conv2d_pool_gradient_row_s32_alone;

struct forward {
    struct pt_share_parts parts; /* by rows, or by channels: */
    const struct pt_shape *shape;
    uint32_t begin[2];
    uint32_t end[2];
    struct pt_edges slice[2];
    void *scratch[2];
    const int8_t *input;
    const struct pt_edges *edges;
    int8_t *output;
    uint8_t *places;
    uint32_t shift;
};

static uint32_t half_forward(const void *argument, uint32_t core)
{
    const struct forward *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    return pt_conv2d_pool_forward_s8_alone(&part->shape, job->input + part->input, job->edges,
                                           job->shift, job->scratch[core],
                                           job->output + part->output,
                                           job->places + part->output / 4u);
}

static uint32_t half_channels(const void *argument, uint32_t core)
{
    const struct forward *job = argument;
    return pt_conv2d_pool_forward_slice_s8(job->shape, job->begin[core], job->end[core],
                                           job->input, &job->slice[core], job->shift,
                                           job->scratch[core], job->output, job->places);
}

/* Two halves that are as long, and of which each packs the weights of its own channels only. */
static bool cut_channels(struct forward *job)
{
    const uint32_t channels = job->shape->out_c;
    if (channels % (2u * PT_LANES) != 0u) {
        return false;
    }
    const uint32_t cut = PT_LANES * pt_core_cut(channels / PT_LANES);
    job->begin[0] = 0;
    job->begin[1] = cut;
    job->end[0] = cut;
    job->end[1] = channels;
    job->slice[0] = *job->edges;
    job->slice[1] = pt_share_edges(job->edges, cut);
    memset(job->output, 0, pt_pooled_size(job->shape));
    memset(job->places, 0, pt_places_size(job->shape));
    return true;
}

uint32_t pt_conv2d_pool_forward_s8(const struct pt_shape *shape, const int8_t *input,
                                   const struct pt_edges *edges, uint32_t shift, void *scratch,
                                   int8_t *output, uint8_t *places)
{
    const uint32_t needed = pt_conv2d_pool_forward_scratch(shape);
    struct forward job = {
        .shape = shape, .scratch = {scratch, pt_share_scratch(needed)}, .input = input,
        .edges = edges, .output = output, .places = places, .shift = shift,
    };
    if (pt_share_fits(needed)) {
        if (cut_channels(&job)) {
            return pt_share(half_channels, &job);
        }
        if (pt_share_pool_forward(shape, input, &job.parts)) {
            return pt_share(half_forward, &job);
        }
    }
    return pt_conv2d_pool_forward_s8_alone(shape, input, edges, shift, scratch, output, places);
}

struct backward {
    struct pt_share_parts parts;
    void *scratch[2];
    const int8_t *error;
    const uint8_t *places;
    const struct pt_edges *edges;
    const int8_t *activation;
    int8_t *input_error;
    uint32_t shift;
    bool packed; /* weights for both */
};

static uint32_t half_error(const void *argument, uint32_t core)
{
    const struct backward *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    const int8_t *activation = job->activation == NULL ? NULL : job->activation + part->input;
    const int8_t *error = job->error + part->output;
    const uint8_t *places = job->places + part->output / 4u;
    int8_t *input_error = job->input_error + part->input;
    return job->packed
               ? pt_conv2d_pool_error_slice_s8(&part->shape, error, places, activation, job->shift,
                                               job->scratch[0], job->scratch[core], input_error)
               : pt_conv2d_pool_error_s8_alone(&part->shape, error, places, job->edges, activation,
                                               job->shift, job->scratch[core], input_error);
}

uint32_t pt_conv2d_pool_error_s8(const struct pt_shape *shape, const int8_t *error,
                                 const uint8_t *places, const struct pt_edges *edges,
                                 const int8_t *activation, uint32_t shift, void *scratch,
                                 int8_t *input_error)
{
    const uint32_t needed = pt_conv2d_pool_error_scratch(shape);
    struct backward job = {
        .scratch = {scratch, pt_share_scratch(needed)}, .error = error, .places = places,
        .edges = edges, .activation = activation, .input_error = input_error, .shift = shift,
    };
    if (pt_share_fits(needed) && pt_share_pool_error(shape, &job.parts)) {
        job.packed = pt_error_weights_pack(shape, true, edges, job.scratch);
        return pt_share(half_error, &job);
    }
    return pt_conv2d_pool_error_s8_alone(shape, error, places, edges, activation, shift, scratch,
                                         input_error);
}

void pt_conv2d_pool_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                                   const int8_t *error, void *scratch)
{
    if (!pt_gradient_begin(shape, true, input, error, scratch)) {
        pt_conv2d_pool_gradient_begin_alone(shape, input, error, scratch);
    }
}

void pt_conv2d_pool_gradient_row_s32(const struct pt_shape *shape, uint32_t row,
                                     const int8_t *error, const uint8_t *places, void *scratch,
                                     int32_t *gradient)
{
    if (!pt_gradient_row(shape, row, error, places, scratch, gradient)) {
        pt_conv2d_pool_gradient_row_s32_alone(shape, row, error, places, scratch, gradient);
    }
}
