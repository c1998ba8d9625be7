#include "kernels/cortex_m0plus/pt_maxpool2_inner.h"

void pt_pool_words(struct pt_pools_job *job)
{
    const uint32_t places[] = {0, job->right, job->below, job->below + job->right};
    while (job->output != job->end) {
        int8_t largest[4] = {0};
        for (uint32_t i = 0; i < 16u; ++i) {
            const int8_t value = job->window[places[i / 4u] + i % 4u];
            if (value < 0) {
                return;
            }
            largest[i % 4u] = value > largest[i % 4u] ? value : largest[i % 4u];
        }
        for (uint32_t i = 0; i < 4u; ++i) {
            *job->output++ = largest[i];
        }
        job->window += 4;
        if (job->output == job->position_end) {
            job->window += job->right;
            job->position_end += job->right;
        }
    }
}

void pt_route_errors(struct pt_routes_job *job)
{
    const uint32_t places[] = {0, job->right, job->below, job->below + job->right};
    const int8_t *window = job->window;
    for (uint32_t at = 0; job->error != job->end; ++job->error) {
        uint32_t first = at;
        for (uint32_t i = 1; i < 4u; ++i) {
            if (window[at + places[i]] > window[first]) {
                first = at + places[i];
            }
        }
        if (*job->error != 0 && window[first] >= job->least) {
            job->input_error[first] = *job->error;
        }
        ++at;
        at += at % job->right == 0u ? job->right : 0u;
    }
}
