#include "kernels/cortex_m0plus/pt_affine_add_inner.h"

void pt_affine_add_words(struct pt_add_words_job *job)
{
    const int8_t *a_next = job->a;
    const int8_t *b_next = job->b;
    while (job->output != job->end && job->doubt <= job->doubts + PT_ADD_DOUBTS) {
        for (uint32_t i = 0; i < 4u; ++i, ++job->output) {
            const uint32_t a = (uint32_t)*a_next++;
            const uint32_t b = (uint32_t)*b_next++;
            const uint32_t sum = a * job->weight_a + b * job->weight_b + job->start;
            if ((sum & ((1u << 21) - PT_ADD_ZONE)) == 0u) {
                *job->doubt++ = job->output;
                continue;
            }
            const int32_t rounded = (int32_t)sum >> 21;
            *job->output = (int8_t)(rounded < INT8_MIN   ? INT8_MIN
                                    : rounded > INT8_MAX ? INT8_MAX
                                                         : rounded);
        }
    }
}
