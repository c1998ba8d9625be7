#include "kernels/pt_affine.h"

#include <stddef.h>

#include "kernels/parallel/pt_core.h"
#include "kernels/parallel/pt_share.h"

__typeof__(pt_affine_conv2d_s8) pt_affine_conv2d_s8_alone;
__typeof__(pt_affine_depthwise_s8) pt_affine_depthwise_s8_alone;
__typeof__(pt_affine_linear_s8) pt_affine_linear_s8_alone;
__typeof__(pt_affine_maxpool_s8) pt_affine_maxpool_s8_alone;
__typeof__(pt_affine_avgpool_s8) pt_affine_avgpool_s8_alone;
__typeof__(pt_affine_add_s8) pt_affine_add_s8_alone;

struct job {
    struct pt_share_parts parts;
    const struct pt_affine *affine;
    const struct pt_edges *edges;
    const int8_t *input;
    const int8_t *other; /* of an add */
    void *scratch[2];
    int8_t *output;
    /* With weights, or without. */
    __typeof__(pt_affine_conv2d_s8) *weigh;
    __typeof__(pt_affine_maxpool_s8) *pool;
};

static uint32_t half_weigh(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    job->weigh(&part->shape, job->affine, job->edges, job->input + part->input,
               job->scratch[core], job->output + part->output);
    return 0;
}

static uint32_t half_pool(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    job->pool(&part->shape, job->affine, job->input + part->input, job->output + part->output);
    return 0;
}

/* By output rows, each half with all weights. */
static void weigh(__typeof__(pt_affine_conv2d_s8) *alone, uint32_t needed,
                  const struct pt_shape *shape, const struct pt_affine *affine,
                  const struct pt_edges *edges, const int8_t *input, void *scratch,
                  int8_t *output)
{
    struct job job = {
        .affine = affine, .edges = edges, .input = input,
        .scratch = {scratch, pt_share_scratch(needed)}, .output = output, .weigh = alone,
    };
    if (pt_share_fits(needed) && pt_share_forward(shape, NULL, &job.parts)) {
        pt_share(half_weigh, &job);
    } else {
        alone(shape, affine, edges, input, scratch, output);
    }
}

void pt_affine_conv2d_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output)
{
    weigh(pt_affine_conv2d_s8_alone, pt_affine_conv2d_scratch(shape), shape, affine, edges, input,
          scratch, output);
}

void pt_affine_depthwise_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                            const struct pt_edges *edges, const int8_t *input, void *scratch,
                            int8_t *output)
{
    weigh(pt_affine_depthwise_s8_alone, pt_affine_depthwise_scratch(shape), shape, affine, edges,
          input, scratch, output);
}

static void pool(__typeof__(pt_affine_maxpool_s8) *alone, const struct pt_shape *shape,
                 const struct pt_affine *affine, const int8_t *input, int8_t *output)
{
    struct job job = {.affine = affine, .input = input, .output = output, .pool = alone};
    if (pt_share_forward(shape, NULL, &job.parts)) {
        pt_share(half_pool, &job);
    } else {
        alone(shape, affine, input, output);
    }
}

void pt_affine_maxpool_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                          const int8_t *input, int8_t *output)
{
    pool(pt_affine_maxpool_s8_alone, shape, affine, input, output);
}

void pt_affine_avgpool_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                          const int8_t *input, int8_t *output)
{
    pool(pt_affine_avgpool_s8_alone, shape, affine, input, output);
}

struct rows {
    struct pt_shape shape[2];
    struct pt_affine affine[2];
    struct pt_edges edges[2];
    const int8_t *input;
    void *scratch[2];
    int8_t *output[2];
};

static uint32_t half_rows(const void *argument, uint32_t core)
{
    const struct rows *job = argument;
    pt_affine_linear_s8_alone(&job->shape[core], &job->affine[core], &job->edges[core],
                              job->input, job->scratch[core], job->output[core]);
    return 0;
}

void pt_affine_linear_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output)
{
    const uint32_t needed = pt_affine_linear_scratch(shape);
    if (shape->out_c < 2u || !pt_share_fits(needed)) {
        pt_affine_linear_s8_alone(shape, affine, edges, input, scratch, output);
        return;
    }
    const uint32_t cut = pt_core_cut(shape->out_c);
    struct rows job = {
        {*shape, *shape}, {*affine, *affine}, {*edges, pt_share_edges(edges, cut)}, input,
        {scratch, pt_share_scratch(needed)}, {output, output + cut},
    };
    job.shape[0].out_c = (uint16_t)cut;
    job.shape[1].out_c = (uint16_t)(shape->out_c - cut);
    job.affine[1].factor += cut;
    pt_share(half_rows, &job);
}

/* Elements alone matter: the parts of a layer of one row. */
static uint32_t half_add(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    pt_affine_add_s8_alone(&part->shape, job->affine, job->input + part->input,
                           job->other + part->input, job->output + part->output);
    return 0;
}

void pt_affine_add_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                      const int8_t *a, const int8_t *b, int8_t *output)
{
    struct job job = {.affine = affine, .input = a, .other = b, .output = output};
    if (pt_share_forward(shape, NULL, &job.parts)) {
        pt_share(half_add, &job);
    } else {
        pt_affine_add_s8_alone(shape, affine, a, b, output);
    }
}
