#include "kernels/cortex_m0plus/pt_affine_rows.h"

#include <stdbool.h>

#include "kernels/cortex_m0plus/pt_affine_rows_inner.h"
#include "kernels/pt_affine_inner.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_skips.h"

void pt_affine_rows_at(struct pt_affine_rows *rows, const struct pt_affine *affine,
                       uint32_t length, uint32_t positions, void *scratch)
{
    rows->affine = affine;
    rows->length = length;
    rows->rounded = pt_round4(length);
    rows->tile = pt_affine_rows_tile(length, positions);
    rows->row = scratch;
    rows->patch[0] = rows->row + rows->rounded;
    rows->patch[1] = rows->patch[0] + rows->rounded;
    rows->words = (uint32_t *)(rows->patch[1] + rows->rounded);
    rows->sums = (int32_t *)(rows->words + rows->rounded / 2u);
    rows->pairs = (uint32_t *)(rows->sums + rows->tile);
}

void pt_affine_rows_put(const struct pt_affine_rows *rows, uint32_t number,
                        const int8_t *patch, const int8_t *next)
{
    const struct pt_pairs_job job = {
        {patch, next}, patch + rows->rounded, rows->pairs + number / 2u * rows->rounded,
    };
    pt_affine_pairs(&job);
}

/* Packs a row; the sum of its weights, and whether any is not 0. */
static bool pack(const struct pt_affine_rows *rows, const int8_t *weights, int32_t *sum)
{
    const bool aligned = (((uintptr_t)weights | rows->length) & 3u) == 0u;
    uint32_t left = rows->rounded;
    uint32_t bits = 0;
    struct pt_pack_job job = {weights, NULL, rows->words, 0, 0};
    if (!aligned) {
        if (weights != rows->row) {
            memcpy(rows->row, weights, rows->length);
        }
        memset(rows->row + rows->length, 0, rows->rounded - rows->length);
        job.weights = rows->row;
    }
    *sum = 0;
    for (uint32_t count; left != 0u; left -= count) {
        count = left < PT_PACK_MOST ? left : PT_PACK_MOST;
        job.end = job.weights + count;
        pt_affine_pack(&job);
        /* The halves: weights 2 and 3 of every four, minus weights 0 and 1. */
        const int32_t low = (int16_t)job.sum;
        *sum += ((int32_t)(job.sum - (uint32_t)low) >> 16) - low;
        bits |= job.bits;
        job.weights += count;
        job.words += count / 2u;
    }
    return bits != 0u;
}

__attribute__((noinline)) int8_t pt_affine_rounded(const struct pt_affine *affine,
                                                   const struct pt_factor *factor, int32_t sum)
{
    return pt_affine_output(sum, factor, affine);
}

void pt_affine_fill(const struct pt_affine *affine, const struct pt_factor *factor,
                         uint32_t count, int8_t *output, uint32_t step)
{
    const int8_t value = pt_affine_rounded(affine, factor, factor->bias);
    for (; count != 0u; --count, output += step) {
        *output = value;
    }
}

/*
 * About 255 * 2^(31+n) / m: its product is between 254.9 and 255.1 times 2^(31+n), one that
 * rounds to 255 and, so do all above, to 127 at most. Two steps of Newton's from a line, with m in
 * 2^-15 of 2^31 and its inverse in 2^-14.
 */
static uint32_t near_limit(uint32_t m, uint32_t n)
{
    const uint32_t value = m >> 16;
    uint32_t inverse = 46261u - (value * 30840u >> 15);
    inverse = inverse * ((1u << 15) - (value * inverse >> 15)) >> 14;
    inverse = inverse * ((1u << 15) - (value * inverse >> 15)) >> 14;
    inverse -= (inverse >> 8) + 2u;
    return (inverse << 2 >> (PT_NEAR_MOST_SHIFT - n)) + 1u;
}

static void scale_near(const struct pt_factor *factor, const int32_t *sums, uint32_t count,
                       int8_t *output, uint32_t step)
{
    const uint32_t n = (uint32_t)-factor->shift;
    const int32_t low = (int32_t)((uint32_t)factor->multiplier << 17) >> 17;
    const struct pt_near_job job = {
        .sums = sums,
        .end = sums + count,
        .output = output,
        .high_part = ((uint32_t)factor->multiplier - (uint32_t)low) >> 15,
        .shift = 16u + n,
        .low_part = low,
        .limit = near_limit((uint32_t)factor->multiplier, n),
        .constant = (1u << 15) + (1u << (n + 15u)) - (128u << (n + 16u)),
        .step = step,
    };
    pt_affine_scale_near(&job);
}

void pt_affine_scale_sums(const struct pt_affine *affine, const struct pt_factor *factor,
                          const int32_t *sums, uint32_t count, int8_t *output, uint32_t step)
{
    const uint32_t m = (uint32_t)factor->multiplier;
    const uint32_t shift = 9u + (uint32_t)-factor->shift;
    if (factor->shift > -1 || factor->shift < -PT_SCALE_MOST_SHIFT) {
        for (uint32_t i = 0; i < count; ++i, output += step) {
            *output = pt_affine_rounded(affine, factor, sums[i]);
        }
        return;
    }
    const bool relu = affine->low == affine->zero_out;
    if (relu && affine->low == INT8_MIN && affine->high == INT8_MAX &&
        factor->shift >= -PT_NEAR_MOST_SHIFT) {
        scale_near(factor, sums, count, output, step);
        return;
    }
    const struct pt_scale_job job = {
        .sums = sums,
        .end = sums + count,
        .output = output,
        .step = step,
        .m0 = m & 0x7ffu,
        .m1 = m >> 11 & 0x7ffu,
        .m2 = m >> 22,
        .shift = shift,
        .constant = (1 << (shift - 1u)) + affine->zero_out * (1 << shift) + (relu ? 1 << 8 : 0),
        .low = affine->low,
        .high = affine->high,
    };
    (relu ? pt_affine_scale_relu : pt_affine_scale)(&job);
}

void pt_affine_rows_forward(const struct pt_affine_rows *rows, const int8_t *weights,
                            const struct pt_factor *factor, uint32_t count, int8_t *output,
                            uint32_t step)
{
    const struct pt_affine *affine = rows->affine;
    int32_t sum;
    const bool some = pack(rows, weights, &sum);
    if (factor->multiplier == 0 || (PT_SKIP_ZEROS && !some)) {
        pt_affine_fill(affine, factor, count, output, step);
        return;
    }
    const struct pt_dots_job job = {
        .words = rows->words,
        .words_end = rows->words + rows->rounded / 2u,
        .pairs = rows->pairs,
        .pairs_end = rows->pairs + (count + 1u) / 2u * rows->rounded,
        .sums = rows->sums,
        .start = (uint32_t)factor->bias - (uint32_t)(affine->zero_in[0] * sum),
    };
    pt_affine_dots(&job);
    pt_affine_scale_sums(affine, factor, rows->sums, count, output, step);
}
