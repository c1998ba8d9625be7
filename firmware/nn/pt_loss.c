#include "nn/pt_loss.h"

#include "kernels/pt_numerics.h"

/* Logits above the largest minus this many octaves take part in the softmax. */
#define OCTAVES 10

static int32_t to_base_2(int32_t logit, int32_t exponent)
{
    const int32_t z = (logit * 47274) >> 15; /* log2(e) in Q15 */
    if (exponent >= 0) {
        return z * (int32_t)(1u << (exponent < 15 ? exponent : 15));
    }
    return z >> (exponent > -31 ? -exponent : 31);
}

static uint32_t power(int8_t octave)
{
    return (1u << octave) - 1u;
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

uint32_t pt_loss_error_s8(const int8_t *logits, int32_t exponent, uint32_t classes,
                          uint32_t target, int8_t *error)
{
    const int32_t largest = to_base_2(logits[pt_argmax_s8(logits, classes)], exponent);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < classes; ++i) {
        const int32_t z = to_base_2(logits[i], exponent) - largest + OCTAVES;
        error[i] = z > 0 ? (int8_t)z : 0; /* octaves, until the sum is known */
        sum += power(error[i]);
    }
    uint32_t total = 0;
    uint32_t target_share = 0;
    uint32_t norm = 0;
    for (uint32_t i = 0; i < classes; ++i) {
        const uint32_t share = (power(error[i]) << 11) / sum;
        total += share;
        if (i == target) {
            target_share = share;
            continue;
        }
        error[i] = pt_clamp_s8(pt_rhu_s32((int32_t)share, 4));
        norm += pt_abs_s32(error[i]);
    }
    error[target] = pt_clamp_s8(pt_rhu_s32((int32_t)target_share - (int32_t)total, 4));
    return norm + pt_abs_s32(error[target]);
}
