#include "nn/pt_loss.h"

#include "kernels/pt_numerics.h"

/* Logits above the largest minus this many octaves take part in the softmax. */
#define OCTAVES 10

/* From here up the softmax is one of powers of two, below it one of the second order. */
#define LEAST_OF_POWERS (-6)

static int32_t to_base_2(int32_t logit, int32_t exponent)
{
    const int32_t z = (logit * 47274) >> 15; /* log2(e) in Q15 */
    if (exponent >= 0) {
        return z * (int32_t)(1u << (exponent < 15 ? exponent : 15));
    }
    return z >> -exponent;
}

/*
 * How much of the softmax a class has, before it is normalised: 2^x - 1 of an octave x in 0..10,
 * or, with an order of 7..9, (x + 2^order)^2 + 4^order of a logit x: 16385..670465.
 */
static uint32_t power(int8_t x, uint32_t order)
{
    if (order == 0u) {
        return (1u << x) - 1u;
    }
    const uint32_t root = (1u << order) + (uint32_t)x;
    return root * root + (1u << 2u * order);
}

uint32_t pt_argmax_s8(const int8_t *logits, uint32_t classes)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < classes; ++i) {
        if (logits[i] > logits[first]) {
            first = i;
        }
    }
    return first;
}

/* Octaves, of which the largest logit has OCTAVES. Returns the sum of their powers. */
static uint32_t to_octaves(const int8_t *logits, int32_t exponent, uint32_t classes,
                           int8_t *octave)
{
    const int32_t largest = to_base_2(logits[pt_argmax_s8(logits, classes)], exponent);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < classes; ++i) {
        const int32_t z = to_base_2(logits[i], exponent) - largest + OCTAVES;
        octave[i] = z > 0 ? (int8_t)z : 0;
        sum += power(octave[i], 0);
    }
    return sum;
}

/* Logits shifted right. Returns the sum of their powers: at most 256 * 670465 < 2^28. */
static uint32_t to_least(const int8_t *logits, uint32_t shift, uint32_t order, uint32_t classes,
                         int8_t *shifted)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < classes; ++i) {
        shifted[i] = (int8_t)(logits[i] >> shift);
        sum += power(shifted[i], order);
    }
    return sum;
}

/*
 * `error` holds what power() takes, whose sum is `sum`. Inlined, so that each order has a loop of
 * its own. A power << 11 is at most 670465 * 2048 < 2^31.
 */
static inline uint32_t normalise(int8_t *error, uint32_t order, uint32_t sum, uint32_t classes,
                                 uint32_t target)
{
    uint32_t total = 0;
    uint32_t target_share = 0;
    uint32_t norm = 0;
    for (uint32_t i = 0; i < classes; ++i) {
        const uint32_t share = (power(error[i], order) << 11) / sum;
        total += share;
        if (i == target) {
            target_share = share;
            continue;
        }
        /* A share has no sign. */
        const uint32_t rounded = (share + 8u) >> 4;
        const uint32_t magnitude = rounded < PT_S8_MAX ? rounded : PT_S8_MAX;
        error[i] = (int8_t)magnitude;
        norm += magnitude;
    }
    error[target] = pt_clamp_s8(pt_rhu_s32((int32_t)target_share - (int32_t)total, 4));
    return norm + pt_abs_s32(error[target]);
}

uint32_t pt_loss_error_s8(const int8_t *logits, int32_t exponent, uint32_t classes,
                          uint32_t target, int8_t *error)
{
    if (exponent >= LEAST_OF_POWERS) {
        const uint32_t sum = to_octaves(logits, exponent, classes, error);
        return normalise(error, 0, sum, classes, target);
    }
    const int32_t least = PT_LEAST_LOGITS_EXPONENT;
    const uint32_t order = (uint32_t)-(exponent > least ? exponent : least);
    const uint32_t below = exponent < least ? (uint32_t)(least - exponent) : 0u;
    const uint32_t sum = to_least(logits, below < 31u ? below : 31u, order, classes, error);
    return normalise(error, order, sum, classes, target);
}
