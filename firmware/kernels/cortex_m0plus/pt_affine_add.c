/*
 * out = zero_out + f_a * (a - zero_a) + f_b * (b - zero_b), but for roundings on the way: twice of
 * each input, once of the sum, each by half a unit or less. With -n the shift of the last factor
 * they move the value by 2.5 / 2^n at most; weights that are rounded to 2^-21, by 383 / 2^21. What
 * is further than that from a half is rounded as it stands; the others, one of some thousand, are
 * added as section 14 says.
 */
#include "kernels/cortex_m0plus/pt_affine_add_inner.h"
#include "kernels/cortex_m0plus/pt_affine_rows.h"
#include "kernels/pt_affine_inner.h"

/* With shifts from 16 on, half of PT_ADD_ZONE is more than 383 + 2.5 * 2^(21 - n). */
enum { FRACTION = 21, LEAST_SHIFT = 16, MOST_WEIGHT = 3 };

struct addition {
    const struct pt_affine *affine;
    const int8_t *a;
    const int8_t *b;
    int8_t *output;
};

__attribute__((noinline)) static int32_t lifted(int32_t x, int32_t zero,
                                                const struct pt_factor *factor)
{
    return pt_scale_s32((x - zero) * (1 << PT_ADD_HEADROOM), factor->multiplier, factor->shift);
}

__attribute__((noinline)) static void add_exactly(const struct addition *add, uint32_t i)
{
    const struct pt_affine *affine = add->affine;
    const struct pt_factor *factor = affine->factor;
    const int32_t sum = lifted(add->a[i], affine->zero_in[0], &factor[0]) +
                        lifted(add->b[i], affine->zero_in[1], &factor[1]);
    add->output[i] = pt_affine_rounded(affine, &factor[2], sum);
}

/* f * 2^21 of an input: the product of both multipliers is in 2^-31 of 2^-(20 - 31 - 31). */
__attribute__((noinline)) static uint32_t weight_of(const struct pt_factor *in,
                                                    const struct pt_factor *out)
{
    const uint32_t product = (uint32_t)pt_srdhm_s32(in->multiplier, out->multiplier);
    const uint32_t right = (uint32_t)(-in->shift - out->shift) - 10u;
    return right > 31u ? 0u : (product + (1u << right >> 1)) >> right;
}

/* Four at a time; returns how many of all elements. */
static uint32_t add_words(const struct addition *add, uint32_t count)
{
    const struct pt_affine *affine = add->affine;
    const struct pt_factor *factor = affine->factor;
    const uintptr_t places = (uintptr_t)add->a | (uintptr_t)add->b | (uintptr_t)add->output;
    if ((places & 3u) != 0u || factor[2].shift > -LEAST_SHIFT) {
        return 0;
    }
    const uint32_t weight_a = weight_of(&factor[0], &factor[2]);
    const uint32_t weight_b = weight_of(&factor[1], &factor[2]);
    /* Values must be below 2^10 in magnitude. */
    if (weight_a + weight_b >= MOST_WEIGHT << FRACTION) {
        return 0;
    }
    const uint32_t whole = count & ~3u;
    struct pt_add_words_job job = {
        .end = add->output + whole,
        .weight_a = weight_a,
        .weight_b = weight_b,
        .start = ((uint32_t)affine->zero_out << FRACTION) + (1u << (FRACTION - 1)) +
                 PT_ADD_ZONE / 2u - (uint32_t)affine->zero_in[0] * weight_a -
                 (uint32_t)affine->zero_in[1] * weight_b,
    };
    for (uint32_t done = 0; done != whole; done = (uint32_t)(job.output - add->output)) {
        job.output = add->output + done;
        job.a = add->a + done;
        job.b = add->b + done;
        job.doubt = job.doubts;
        pt_affine_add_words(&job);
        for (int8_t **doubt = job.doubts; doubt != job.doubt; ++doubt) {
            add_exactly(add, (uint32_t)(*doubt - add->output));
        }
    }
    if (affine->low != INT8_MIN || affine->high != INT8_MAX) {
        for (uint32_t i = 0; i < whole; ++i) {
            add->output[i] = pt_affine_bound(add->output[i], affine);
        }
    }
    return whole;
}

void pt_affine_add_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                      const int8_t *a, const int8_t *b, int8_t *output)
{
    const struct addition add = {affine, a, b, output};
    const uint32_t count = pt_shape_out_size(shape);
    for (uint32_t i = add_words(&add, count); i < count; ++i) {
        add_exactly(&add, i);
    }
}
