#include "kernels/pt_affine_backward.h"

#include "kernels/parallel/pt_share.h"

__typeof__(pt_affine_conv2d_error_s32) pt_affine_conv2d_error_s32_alone;
__typeof__(pt_affine_depthwise_error_s32) pt_affine_depthwise_error_s32_alone;
__typeof__(pt_affine_merge_sums_s32) pt_affine_merge_sums_s32_alone;

struct job {
    struct pt_share_parts parts;
    const int8_t *error;
    const struct pt_edges *edges;
    void *scratch[2];
    int32_t *sums;
    __typeof__(pt_affine_conv2d_error_s32) *alone;
};

static uint32_t half_error(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    job->alone(&part->shape, job->error + part->output, job->edges, job->scratch[core],
               job->sums + part->input);
    return 0;
}

static void share_error(__typeof__(pt_affine_conv2d_error_s32) *alone,
                        const struct pt_shape *shape, const int8_t *error,
                        const struct pt_edges *edges, void *scratch, int32_t *sums)
{
    const uint32_t needed = pt_round4(edges->row_length);
    struct job job = {
        .error = error, .edges = edges, .scratch = {scratch, pt_share_scratch(needed)},
        .sums = sums, .alone = alone,
    };
    if (pt_share_fits(needed) && pt_share_error(shape, &job.parts)) {
        pt_share(half_error, &job);
    } else {
        alone(shape, error, edges, scratch, sums);
    }
}

void pt_affine_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                                const struct pt_edges *edges, void *scratch, int32_t *sums)
{
    share_error(pt_affine_conv2d_error_s32_alone, shape, error, edges, scratch, sums);
}

void pt_affine_depthwise_error_s32(const struct pt_shape *shape, const int8_t *error,
                                   const struct pt_edges *edges, void *scratch, int32_t *sums)
{
    share_error(pt_affine_depthwise_error_s32_alone, shape, error, edges, scratch, sums);
}

struct merging {
    const int32_t *sums[2];
    uint32_t count[2];
    uint32_t shift;
    struct pt_merge merge[2];
};

static uint32_t half_merge(const void *argument, uint32_t core)
{
    const struct merging *job = argument;
    return pt_affine_merge_sums_s32_alone(job->sums[core], job->count[core], job->shift,
                                          &job->merge[core]);
}

uint32_t pt_affine_merge_sums_s32(const int32_t *sums, uint32_t count, uint32_t shift,
                                  const struct pt_merge *merge)
{
    const uint32_t cut = pt_share_stretch(count);
    if (cut == 0u) {
        return pt_affine_merge_sums_s32_alone(sums, count, shift, merge);
    }
    struct merging job = {{sums, sums + cut}, {cut, count - cut}, shift, {*merge, *merge}};
    job.merge[1].error += cut;
    return pt_share(half_merge, &job);
}
