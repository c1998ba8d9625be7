#include "kernels/pt_conv2d_pool.h"

#include <stddef.h>

#include "kernels/parallel/pt_gradient_scratch.h"
#include "kernels/parallel/pt_share.h"

__typeof__(pt_conv2d_pool_forward_s8) pt_conv2d_pool_forward_s8_alone;
__typeof__(pt_conv2d_pool_error_s8) pt_conv2d_pool_error_s8_alone;
__typeof__(pt_conv2d_pool_gradient_begin) pt_conv2d_pool_gradient_begin_alone;

struct forward {
    struct pt_share_parts parts;
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

uint32_t pt_conv2d_pool_forward_s8(const struct pt_shape *shape, const int8_t *input,
                                   const struct pt_edges *edges, uint32_t shift, void *scratch,
                                   int8_t *output, uint8_t *places)
{
    struct forward job = {
        .scratch = {scratch, pt_share_scratch()}, .input = input, .edges = edges,
        .output = output, .places = places, .shift = shift,
    };
    if (pt_share_fits(pt_conv2d_pool_forward_scratch(shape)) &&
        pt_share_pool_forward(shape, &job.parts)) {
        return pt_share(half_forward, &job);
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
};

static uint32_t half_error(const void *argument, uint32_t core)
{
    const struct backward *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    const int8_t *activation = job->activation == NULL ? NULL : job->activation + part->input;
    return pt_conv2d_pool_error_s8_alone(&part->shape, job->error + part->output,
                                         job->places + part->output / 4u, job->edges, activation,
                                         job->shift, job->scratch[core],
                                         job->input_error + part->input);
}

uint32_t pt_conv2d_pool_error_s8(const struct pt_shape *shape, const int8_t *error,
                                 const uint8_t *places, const struct pt_edges *edges,
                                 const int8_t *activation, uint32_t shift, void *scratch,
                                 int8_t *input_error)
{
    struct backward job = {
        .scratch = {scratch, pt_share_scratch()}, .error = error, .places = places,
        .edges = edges, .activation = activation, .input_error = input_error, .shift = shift,
    };
    if (pt_share_fits(pt_conv2d_pool_error_scratch(shape)) &&
        pt_share_pool_error(shape, &job.parts)) {
        return pt_share(half_error, &job);
    }
    return pt_conv2d_pool_error_s8_alone(shape, error, places, edges, activation, shift, scratch,
                                         input_error);
}

struct begin {
    const struct pt_shape *shape;
    const int8_t *input;
    const int8_t *error;
    void *scratch[2];
};

static uint32_t half_begin(const void *argument, uint32_t core)
{
    const struct begin *job = argument;
    pt_conv2d_pool_gradient_begin_alone(job->shape, job->input, job->error, job->scratch[core]);
    return 0;
}

void pt_conv2d_pool_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                                   const int8_t *error, void *scratch)
{
    const struct begin job = {shape, input, error, {scratch, pt_share_scratch()}};
    if (pt_gradient_shared(shape, pt_conv2d_pool_gradient_scratch(shape))) {
        pt_share(half_begin, &job);
    } else {
        pt_conv2d_pool_gradient_begin_alone(shape, input, error, scratch);
    }
}
