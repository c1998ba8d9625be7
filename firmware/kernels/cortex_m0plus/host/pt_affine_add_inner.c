#include "kernels/cortex_m0plus/pt_affine_add_inner.h"

uint32_t pt_affine_add(const struct pt_add_job *job, uint32_t left)
{
    for (; left != 0u; --left) {
        const uint32_t a = (uint32_t)*(job->a - left);
        const uint32_t b = (uint32_t)*(job->b - left);
        const uint32_t sum = a * job->weight_a + b * job->weight_b + job->start;
        if (sum << 12 < job->doubt) {
            break;
        }
        const int32_t rounded = (int32_t)sum >> 20;
        const int32_t above = rounded < job->low ? job->low : rounded;
        *(job->output - left) = (int8_t)(above > job->high ? job->high : above);
    }
    return left;
}
