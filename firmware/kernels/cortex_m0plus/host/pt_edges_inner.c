#include "kernels/cortex_m0plus/pt_edges_inner.h"

static void mask(const struct pt_mask_job *job, int32_t threshold)
{
    const int8_t *weight = job->weights;
    const int8_t *score = job->scores;
    for (int8_t *effective = job->effective; effective != job->end; ++effective, ++weight) {
        *effective = *score++ >= threshold ? *weight : 0;
    }
}

void pt_mask_words_negative(const struct pt_mask_job *job)
{
    mask(job, (int32_t)(job->threshold & 0x7fu) - 128);
}

void pt_mask_words_positive(const struct pt_mask_job *job)
{
    mask(job, (int32_t)(job->threshold & 0x7fu));
}
