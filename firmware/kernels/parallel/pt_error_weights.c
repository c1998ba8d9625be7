#include "kernels/parallel/pt_error_weights.h"

#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/parallel/pt_core.h"
#include "kernels/parallel/pt_share.h"

struct job {
    const struct pt_shape *shape;
    struct pt_edges edges[2];
    void *const *scratch;
    uint32_t cut;
    bool pooled;
};

static uint32_t half_pack(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const uint32_t begin = core == 0u ? 0u : job->cut;
    const uint32_t end = core == 0u ? job->cut : job->shape->out_c;
    pt_conv2d_error_pack(job->shape, job->pooled, begin, end, &job->edges[core], job->scratch[0],
                         job->scratch[core]);
    return 0;
}

bool pt_error_weights_pack(const struct pt_shape *shape, bool pooled, const struct pt_edges *edges,
                           void *const scratch[2])
{
    const uint32_t rows = shape->out_c;
    if (!pt_conv2d_error_packs(shape) || rows < 2u || rows * edges->row_length < PT_SHARE_LEAST) {
        return false;
    }
    const uint32_t cut = pt_core_cut(rows);
    const struct job job = {shape, {*edges, pt_share_edges(edges, cut)}, scratch, cut, pooled};
    pt_share(half_pack, &job);
    return true;
}
