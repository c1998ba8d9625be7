#include "kernels/parallel/pt_gradient_scratch.h"

#include "kernels/parallel/pt_core.h"

/* Scratch of core 0 with what both walk; core 0 writes it between jobs. */
static void *walked;

struct begin {
    const struct pt_shape *shape;
    const int8_t *input;
    const int8_t *error;
    uint32_t cut; /* input rows of core 0 */
    bool pooled;
};

/* Core 0 also notes the positions. */
static uint32_t half_begin(const void *argument, uint32_t core)
{
    const struct begin *job = argument;
    const struct pt_shape *shape = job->shape;
    const uint32_t from = core == 0u ? 0u : job->cut;
    const uint32_t end = core == 0u ? job->cut : shape->in_h;
    if (from != end) {
        pt_conv2d_gradient_pairs(shape, from, end, job->input, walked);
    }
    if (core == 0u) {
        pt_conv2d_gradient_positions(shape, job->pooled, job->error, walked);
    }
    return 0;
}

/* Noting a position takes as long as the pairs of three elements. */
static uint32_t rows_of_first(const struct pt_shape *shape, bool pooled)
{
    const uint32_t row = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t noted = 3u * pt_shape_positions(shape) / (pooled ? 4u : 1u);
    const uint32_t mine = pt_core_cut(row * shape->in_h + noted);
    return mine < noted ? 0u : (mine - noted) / row;
}

bool pt_gradient_begin(const struct pt_shape *shape, bool pooled, const int8_t *input,
                       const int8_t *error, void *scratch)
{
    if (!pt_gradient_shared(shape)) {
        return false;
    }
    struct begin job = {shape, input, error, 0, pooled};
    if (shape->in_c % 2u == 0u || shape->padding_w != 0u) {
        job.cut = rows_of_first(shape, pooled);
    }
    walked = scratch;
    pt_share(half_begin, &job);
    return true;
}

bool pt_gradient_row(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                     const uint8_t *places, void *scratch, int32_t *gradient)
{
    if (scratch != pt_gradient_scratch(shape)) {
        return false;
    }
    pt_conv2d_gradient_slice_s32(shape, row, error, places, walked, scratch, gradient);
    return true;
}
