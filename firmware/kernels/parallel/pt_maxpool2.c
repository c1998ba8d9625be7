#include "kernels/pt_maxpool2.h"

#include <stddef.h>

#include "kernels/parallel/pt_share.h"

__typeof__(pt_maxpool2_forward_s8) pt_maxpool2_forward_s8_alone;
__typeof__(pt_maxpool2_error_s8) pt_maxpool2_error_s8_alone;

struct job {
    struct pt_share_parts parts;
    const int8_t *input;
    const int8_t *error;
    int8_t *output; /* or input error */
    bool relu;
};

static uint32_t half_forward(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    pt_maxpool2_forward_s8_alone(&part->shape, job->input + part->input,
                                 job->output + part->output);
    return 0;
}

void pt_maxpool2_forward_s8(const struct pt_shape *shape, const int8_t *input, int8_t *output)
{
    struct job job = {.input = input, .output = output};
    if (pt_share_forward(shape, NULL, &job.parts)) {
        pt_share(half_forward, &job);
    } else {
        pt_maxpool2_forward_s8_alone(shape, input, output);
    }
}

static uint32_t half_error(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const struct pt_share_part *part = &job->parts.of[core];
    pt_maxpool2_error_s8_alone(&part->shape, job->input + part->input, job->error + part->output,
                               job->relu, job->output + part->input);
    return 0;
}

void pt_maxpool2_error_s8(const struct pt_shape *shape, const int8_t *input,
                          const int8_t *output_error, bool relu, int8_t *input_error)
{
    struct job job = {
        .input = input, .error = output_error, .output = input_error, .relu = relu,
    };
    if (pt_share_forward(shape, NULL, &job.parts)) {
        pt_share(half_error, &job);
    } else {
        pt_maxpool2_error_s8_alone(shape, input, output_error, relu, input_error);
    }
}
