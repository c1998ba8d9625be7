#include "nn/pt_loss.h"

#include "kernels/pt_numerics.h"

/* Logits above the largest minus this many octaves take part in the softmax. */
#define OCTAVES 10

/* From here up the softmax is one of powers of two, below it one of the second order. */
#define LEAST_OF_POWERS (-6)
#define LEAST_OF_AFFINE_POWERS (-7)

/* What a class has before it becomes a power: (v - zero) * multiplier >> right. */
struct scale {
    int32_t zero;
    int32_t multiplier;
    uint32_t right;
};

static inline int32_t scaled(int32_t logit, struct scale scale)
{
    return ((logit - scale.zero) * scale.multiplier) >> scale.right;
}

/*
 * How much of the softmax a class has, before it is normalised: 2^x - 1 of an octave x in 0..10;
 * or, with an order of 7..9, (x + 2^order)^2 + 4^order of a scaled logit x: at most 670465.
 */
static uint32_t power(int32_t x, uint32_t order)
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

/*
 * From the shares of all classes, each << 11, to errors. Inlined, so that each order has a loop of
 * its own. `error` holds octaves where the order is 0; else they are made of the logits again. A
 * power << 11 is at most 670465 * 2048 < 2^31.
 */
static inline uint32_t normalise(const int8_t *logits, struct scale scale, uint32_t order,
                                 uint32_t sum, uint32_t classes, uint32_t target, int8_t *error)
{
    uint32_t total = 0;
    uint32_t target_share = 0;
    uint32_t norm = 0;
    for (uint32_t i = 0; i < classes; ++i) {
        const int32_t x = order == 0u ? error[i] : scaled(logits[i], scale);
        const uint32_t share = (power(x, order) << 11) / sum;
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

/* Octaves, of which the largest logit has OCTAVES; what is scaled counts `left` bits more. */
static uint32_t of_powers(const int8_t *logits, const struct scale *of, uint32_t left,
                          int32_t most, uint32_t classes, uint32_t target, int8_t *error)
{
    const struct scale scale = *of; /* `error` may not be one of its bytes, for all C knows */
    const int32_t largest = scaled(most, scale);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < classes; ++i) {
        const int32_t z = (scaled(logits[i], scale) - largest) * (int32_t)(1u << left) + OCTAVES;
        error[i] = z > 0 ? (int8_t)z : 0;
        sum += power(error[i], 0);
    }
    return normalise(logits, scale, 0, sum, classes, target, error);
}

/* The sum of all powers is at most 256 * 670465 < 2^28. */
static uint32_t of_second_order(const int8_t *logits, const struct scale *of, uint32_t order,
                                uint32_t classes, uint32_t target, int8_t *error)
{
    const struct scale scale = *of;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < classes; ++i) {
        sum += power(scaled(logits[i], scale), order);
    }
    return normalise(logits, scale, order, sum, classes, target, error);
}

uint32_t pt_loss_error_s8(const int8_t *logits, int32_t exponent, int32_t most, uint32_t classes,
                          uint32_t target, int8_t *error)
{
    struct scale scale = {0, 1, 0};
    if (exponent >= LEAST_OF_POWERS) {
        scale.multiplier = 47274; /* log2(e) in Q15 */
        scale.right = exponent < 0 ? (uint32_t)(15 - exponent) : 15u;
        const uint32_t left = exponent < 0 ? 0u : exponent < 15 ? (uint32_t)exponent : 15u;
        return of_powers(logits, &scale, left, most, classes, target, error);
    }
    const int32_t least = PT_LEAST_LOGITS_EXPONENT;
    const uint32_t order = (uint32_t)-(exponent > least ? exponent : least);
    const uint32_t below = exponent < least ? (uint32_t)(least - exponent) : 0u;
    scale.right = below < 31u ? below : 31u;
    return of_second_order(logits, &scale, order, classes, target, error);
}

/* Halfway between the largest and the smallest logit, so that no scaled one exceeds 256. */
static int32_t centre(const int8_t *logits, int32_t zero, int32_t most, uint32_t classes)
{
    int32_t smallest = logits[0];
    for (uint32_t i = 1; i < classes; ++i) {
        smallest = logits[i] < smallest ? logits[i] : smallest;
    }
    return (most - zero + smallest - zero) >> 1;
}

uint32_t pt_loss_affine_error_s8(const int8_t *logits, const struct pt_logits *of, int32_t most,
                                 uint32_t classes, uint32_t target, int8_t *error)
{
    struct scale scale = {of->zero, (int32_t)of->multiplier, 0};
    if (of->exponent >= LEAST_OF_AFFINE_POWERS) {
        scale.multiplier = (int32_t)((of->multiplier * 47274u + (1u << 14)) >> 15);
        scale.right = (uint32_t)(15 - of->exponent);
        return of_powers(logits, &scale, 0, most, classes, target, error);
    }
    scale.zero += centre(logits, of->zero, most, classes);
    scale.right = (uint32_t)(7 - of->exponent);
    return of_second_order(logits, &scale, 8, classes, target, error);
}
