#include "kernels/cortex_m0plus/pt_update_inner.h"

#include "kernels/pt_numerics.h"

static void step(struct pt_steps_job *job, uint32_t k, int32_t x)
{
    const int32_t rounded = pt_psto_s32(x, job->psto.shift);
    const int8_t clamped = pt_clamp_s8(rounded);
    const int32_t target = job->state[k] - clamped;
    job->state[k] = pt_clamp_s8(target);
    job->saturated += clamped != rounded || job->state[k] != target ? 1u : 0u;
}

void pt_step_scores(struct pt_steps_job *job)
{
    const uint32_t *end = job->end;
    for (const uint32_t *entry = job->list; entry != end; ++entry) {
        const uint32_t k = *entry >> 8;
        step(job, k, job->error * (int8_t)(uint8_t)*entry * job->weights[k]);
    }
}

void pt_step_weights(struct pt_steps_job *job)
{
    const uint32_t *end = job->end;
    for (const uint32_t *entry = job->list; entry != end; ++entry) {
        step(job, *entry >> 8, job->error * (int8_t)(uint8_t)*entry);
    }
}

void pt_step_gradient(struct pt_steps_job *job)
{
    const int32_t *gradient = job->list;
    const int32_t *end = job->end;
    for (uint32_t k = 0; gradient != end; ++k) {
        step(job, k, *gradient++ * job->weights[k]);
    }
}
