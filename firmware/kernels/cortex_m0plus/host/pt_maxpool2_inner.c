#include "kernels/cortex_m0plus/pt_maxpool2_inner.h"

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
