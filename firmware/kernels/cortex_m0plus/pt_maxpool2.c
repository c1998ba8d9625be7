#include "kernels/pt_maxpool2.h"

#include <stdbool.h>

#include "kernels/cortex_m0plus/pt_maxpool2_inner.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_numerics.h"

/* Hardly timed, so it stands once. */
__attribute__((noinline)) static int8_t largest_of(const int8_t *window, uint32_t right,
                                                    uint32_t below)
{
    int8_t largest = window[0];
    if (window[right] > largest) {
        largest = window[right];
    }
    if (window[below] > largest) {
        largest = window[below];
    }
    if (window[below + right] > largest) {
        largest = window[below + right];
    }
    return largest;
}

/* A row of positions, four channels at a time; where one is negative, one by one. */
static void pool_words(struct pt_pools_job *job)
{
    for (pt_pool_words(job); job->output != job->end; pt_pool_words(job)) {
        for (uint32_t i = 0; i < 4u; ++i) {
            *job->output++ = largest_of(job->window++, job->right, job->below);
        }
        if (job->output == job->position_end) {
            job->window += job->right;
            job->position_end += job->right;
        }
    }
}

void pt_maxpool2_forward_s8(const struct pt_shape *shape, const int8_t *input, int8_t *output)
{
    const uint32_t right = shape->in_c;
    const uint32_t below = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t row = shape->out_w * right;
    const bool words = (((uintptr_t)input | (uintptr_t)output | right) & 3u) == 0u;
    for (uint32_t y = 0; y < shape->out_h; ++y, output += row) {
        const int8_t *window = input + 2u * y * below;
        if (words) {
            struct pt_pools_job job = {window, output, output + right, output + row, right, below};
            pool_words(&job);
            continue;
        }
        for (int8_t *at = output; at != output + row; window += right) {
            for (const int8_t *end = window + right; window != end;) {
                *at++ = largest_of(window++, right, below);
            }
        }
    }
}

void pt_maxpool2_error_s8(const struct pt_shape *shape, const int8_t *input,
                          const int8_t *output_error, bool relu, int8_t *input_error)
{
    const uint32_t right = shape->in_c;
    const uint32_t below = (uint32_t)shape->in_w * shape->in_c;
    struct pt_routes_job job = {
        input, output_error, output_error, input_error, right, below, relu ? 1 : -PT_S8_MAX,
    };
    memset(input_error, 0, pt_shape_in_size(shape));
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        const uint32_t at = 2u * y * below;
        job.window = input + at;
        job.input_error = input_error + at;
        job.end = job.error + shape->out_w * right;
        pt_route_errors(&job);
    }
}
