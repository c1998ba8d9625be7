/*
 * out = zero_out + f_a * (a - zero_a) + f_b * (b - zero_b), but for roundings on the way: twice of
 * each input, once of the sum, each by half a unit or less. With -n the shift of the last factor
 * they move the value by 2.5 / 2^n at most; weights that are rounded to 2^-20, by 383 / 2^20. What
 * is further than that from a half is rounded as it stands; the others, one of some thousand, are
 * added as section 14 says.
 */
#include <stdbool.h>

#include "kernels/cortex_m0plus/pt_affine_add_inner.h"
#include "kernels/cortex_m0plus/pt_affine_rows.h"
#include "kernels/pt_affine_inner.h"

enum { FRACTION = 20, LEAST_SHIFT = 10, ROUNDING = 512 };

__attribute__((noinline)) static int32_t lifted(int32_t x, int32_t zero,
                                                const struct pt_factor *factor)
{
    return pt_scale_s32((x - zero) * (1 << PT_ADD_HEADROOM), factor->multiplier, factor->shift);
}

static int8_t exact(const struct pt_affine *affine, int32_t a, int32_t b)
{
    const struct pt_factor *factor = affine->factor;
    const int32_t sum = lifted(a, affine->zero_in[0], &factor[0]) +
                        lifted(b, affine->zero_in[1], &factor[1]);
    return pt_affine_rounded(affine, &factor[2], sum);
}

/* f * 2^FRACTION of an input: the product of both multipliers is in 2^-31 of 2^-(20 - 31 - 31). */
__attribute__((noinline)) static uint32_t weight_of(const struct pt_factor *in,
                                                    const struct pt_factor *out)
{
    const uint32_t product = (uint32_t)pt_srdhm_s32(in->multiplier, out->multiplier);
    const uint32_t right = (uint32_t)(-in->shift - out->shift) - 9u;
    return right > 31u ? 0u : (product + (1u << right >> 1)) >> right;
}

void pt_affine_add_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                      const int8_t *a, const int8_t *b, int8_t *output)
{
    const struct pt_factor *factor = affine->factor;
    const uint32_t count = pt_shape_out_size(shape);
    const uint32_t shift = (uint32_t)-factor[2].shift;
    struct pt_add_job job = {
        .a = a + count,
        .b = b + count,
        .output = output + count,
        .low = affine->low,
        .high = affine->high,
    };
    if (shift >= LEAST_SHIFT) {
        job.weight_a = weight_of(&factor[0], &factor[2]);
        job.weight_b = weight_of(&factor[1], &factor[2]);
    }
    const uint32_t zeros = (uint32_t)affine->zero_in[0] * job.weight_a +
                           (uint32_t)affine->zero_in[1] * job.weight_b;
    const uint32_t doubt = ROUNDING + (5u << (FRACTION - 1) >> shift);
    job.start = ((uint32_t)affine->zero_out << FRACTION) + (1u << (FRACTION - 1)) - zeros + doubt;
    job.doubt = 2u * doubt << (32 - FRACTION);
    /* A value is below 2^11 in magnitude then. */
    const bool fast = shift >= LEAST_SHIFT && job.weight_a + job.weight_b < 7u << FRACTION;
    for (uint32_t left = count; left != 0u;) {
        left = fast ? pt_affine_add(&job, left) : left;
        if (left != 0u) {
            const uint32_t i = count - left--;
            output[i] = exact(affine, a[i], b[i]);
        }
    }
}
