/*
 * Where the sums of a convolution of the power-of-two form go: accumulators as they are, or
 * requantised, a vector of channels at a time.
 */
#ifndef PT_OUTPUTS_H
#define PT_OUTPUTS_H

#include <stdint.h>

#include "kernels/pt_numerics.h"
#include "kernels/vector/pt_lanes.h"

struct pt_outputs {
    int32_t *accumulator; /* or NULL */
    int8_t *requantized;
    uint32_t shift;
    int32_t half;
    int32_t low;
    pt_ints saturated; /* counted down, lane by lane */
};

static inline struct pt_outputs pt_outputs_s32(int32_t *accumulator)
{
    return (struct pt_outputs){.accumulator = accumulator};
}

static inline struct pt_outputs pt_outputs_s8(int8_t *requantized, uint32_t shift, bool relu)
{
    return (struct pt_outputs){
        .requantized = requantized,
        .shift = shift,
        .half = shift == 0u ? 0 : 1 << (shift - 1u),
        .low = relu ? 0 : -PT_S8_MAX,
    };
}

static inline void pt_outputs_put(struct pt_outputs *outputs, uint32_t at, pt_ints sums,
                                  uint32_t count)
{
    if (outputs->accumulator != 0) {
        pt_store_words(outputs->accumulator + at, (pt_words)sums, count);
        return;
    }
    const pt_ints rounded = (sums + outputs->half) >> outputs->shift;
    outputs->saturated += rounded > PT_S8_MAX;
    if (outputs->low < 0) {
        outputs->saturated += rounded < outputs->low;
    }
    pt_store_bytes(outputs->requantized + at, pt_bound_ints(rounded, outputs->low, PT_S8_MAX),
                   count);
}

static inline uint32_t pt_outputs_saturated(const struct pt_outputs *outputs)
{
    uint32_t saturated = 0;
    for (uint32_t lane = 0; lane < PT_VECTOR; ++lane) {
        saturated -= (uint32_t)outputs->saturated[lane];
    }
    return saturated;
}

#endif
