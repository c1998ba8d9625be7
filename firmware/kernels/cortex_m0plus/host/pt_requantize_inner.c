#include "kernels/cortex_m0plus/pt_requantize_inner.h"

void pt_requantize_words(struct pt_requantize_job *job)
{
    const int32_t *accumulator = job->accumulator;
    for (int8_t *output = job->output; output != job->end; ++output) {
        int32_t x = (*accumulator++ + job->half) >> job->shift;
        if (x > 127) {
            x = 127;
            ++job->above;
        } else if (x < job->least) {
            x = job->least;
            job->below += x != 0 ? 1u : 0u;
        }
        *output = (int8_t)x;
    }
}
