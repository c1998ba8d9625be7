#include "kernels/pt_requantize.h"

#include <stddef.h>

#include "kernels/parallel/pt_share.h"

__typeof__(pt_requantize_s8) pt_requantize_s8_alone;
__typeof__(pt_requantize_error_s8) pt_requantize_error_s8_alone;
__typeof__(pt_max_abs_s32) pt_max_abs_s32_alone;

struct job {
    const int32_t *accumulator;
    const int8_t *activation;
    int8_t *output;
    uint32_t begin[2];
    uint32_t count[2];
    uint32_t shift;
    bool relu;
};

static uint32_t half_s8(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const uint32_t begin = job->begin[core];
    return pt_requantize_s8_alone(job->accumulator + begin, job->count[core], job->shift,
                                  job->relu, job->output + begin);
}

uint32_t pt_requantize_s8(const int32_t *accumulator, uint32_t count, uint32_t shift, bool relu,
                          int8_t *output)
{
    const uint32_t cut = pt_share_stretch(count);
    const struct job job = {
        accumulator, NULL, output, {0, cut}, {cut, count - cut}, shift, relu,
    };
    return cut == 0u ? pt_requantize_s8_alone(accumulator, count, shift, relu, output)
                     : pt_share(half_s8, &job);
}

static uint32_t half_error(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    const uint32_t begin = job->begin[core];
    return pt_requantize_error_s8_alone(job->accumulator + begin,
                                        job->activation == NULL ? NULL : job->activation + begin,
                                        job->count[core], job->shift, job->output + begin);
}

uint32_t pt_requantize_error_s8(const int32_t *accumulator, const int8_t *activation,
                                uint32_t count, uint32_t shift, int8_t *error)
{
    const uint32_t cut = pt_share_stretch(count);
    const struct job job = {
        accumulator, activation, error, {0, cut}, {cut, count - cut}, shift, false,
    };
    return cut == 0u ? pt_requantize_error_s8_alone(accumulator, activation, count, shift, error)
                     : pt_share(half_error, &job);
}

struct search {
    const int32_t *values;
    uint32_t begin[2];
    uint32_t count[2];
    uint32_t *largest; /* of either core */
};

static uint32_t half_search(const void *argument, uint32_t core)
{
    const struct search *job = argument;
    job->largest[core] = pt_max_abs_s32_alone(job->values + job->begin[core], job->count[core]);
    return 0;
}

uint32_t pt_max_abs_s32(const int32_t *values, uint32_t count)
{
    const uint32_t cut = pt_share_stretch(count);
    uint32_t largest[2];
    if (cut == 0u) {
        return pt_max_abs_s32_alone(values, count);
    }
    const struct search job = {values, {0, cut}, {cut, count - cut}, largest};
    pt_share(half_search, &job);
    return largest[0] > largest[1] ? largest[0] : largest[1];
}
