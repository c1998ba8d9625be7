#include "nn/pt_error_scale.h"

#include <stdbool.h>

struct pt_error_scale pt_error_scale_times(struct pt_error_scale scale,
                                           const struct pt_factor *factor)
{
    uint32_t multiplier = (uint32_t)factor->multiplier;
    int32_t exponent = scale.exponent + factor->shift;
    if (multiplier < 1u << 30) { /* of a mean */
        multiplier <<= 1;
        --exponent;
    }
    uint32_t product = scale.multiplier * (multiplier >> 15); /* 2^30..2^32 - 1 */
    if (product < 1u << 31) {
        product <<= 1;
        --exponent;
    }
    scale.multiplier = (uint16_t)(product >> 16);
    scale.exponent = (int16_t)exponent;
    return scale;
}

struct pt_error_scale pt_error_scale_over(struct pt_error_scale scale, uint32_t count)
{
    uint32_t quotient = ((uint32_t)scale.multiplier << 16) / count; /* above 2^15 */
    int32_t exponent = scale.exponent - 16;
    while (quotient >= 1u << 16) {
        quotient >>= 1;
        ++exponent;
    }
    scale.multiplier = (uint16_t)quotient;
    scale.exponent = (int16_t)exponent;
    return scale;
}

static bool larger(struct pt_error_scale a, struct pt_error_scale b)
{
    return a.exponent > b.exponent ||
           (a.exponent == b.exponent && a.multiplier > b.multiplier);
}

struct pt_merge pt_error_scale_merge(int8_t *error, struct pt_error_scale *scale,
                                     struct pt_error_scale given)
{
    struct pt_merge merge = {error, 0, 0, false};
    if (scale->multiplier == 0u) {
        *scale = given;
        return merge;
    }
    merge.coarse = larger(given, *scale);
    const struct pt_error_scale coarse = merge.coarse ? given : *scale;
    const struct pt_error_scale fine = merge.coarse ? *scale : given;
    const int32_t shift = 15 + coarse.exponent - fine.exponent;
    merge.factor = (int32_t)(((uint32_t)fine.multiplier << 15) / coarse.multiplier);
    merge.shift = (uint32_t)(shift < 30 ? shift : 30);
    *scale = coarse;
    return merge;
}
