#include "kernels/pt_affine_backward.h"

#include "kernels/pt_requantize.h"
#include "kernels/pt_row_weight.h"
#include "kernels/vector/pt_lanes.h"

/* clamp(x), without a branch. */
static int32_t clamp(int32_t x)
{
    const int32_t above = x < -PT_S8_MAX ? -PT_S8_MAX : x;
    return above > PT_S8_MAX ? PT_S8_MAX : above;
}

/* What an element becomes when c is merged into it, each of them times a factor that may be 2^k. */
struct sides {
    int32_t error;
    int32_t error_half;
    uint32_t error_shift;
    int32_t other;
    int32_t other_half;
    uint32_t other_shift;
};

static struct sides sides_of(const struct pt_merge *merge)
{
    const int32_t half = 1 << (merge->shift - 1u);
    const struct sides fine = {1, 0, 0, merge->factor, half, merge->shift};
    const struct sides coarse = {merge->factor, half, merge->shift, 1, 0, 0};
    return merge->coarse ? coarse : fine;
}

static int8_t merged(const struct sides *sides, int32_t error, int32_t c)
{
    return (int8_t)clamp(((error * sides->error + sides->error_half) >> sides->error_shift) +
                         ((c * sides->other + sides->other_half) >> sides->other_shift));
}

uint32_t pt_affine_merge_sums_s32(const int32_t *sums, uint32_t count, uint32_t shift,
                                  const struct pt_merge *merge)
{
    const int32_t half = shift == 0u ? 0 : 1 << (shift - 1u);
    int8_t *error = merge->error;
    uint32_t saturated = 0;
    if (merge->factor == 0) {
        for (uint32_t i = 0; i < count; ++i) {
            const int32_t rounded = (sums[i] + half) >> shift;
            const int32_t c = clamp(rounded);
            saturated += (uint32_t)(c != rounded);
            error[i] = (int8_t)c;
        }
        return saturated;
    }
    const struct sides sides = sides_of(merge);
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t rounded = (sums[i] + half) >> shift;
        const int32_t c = clamp(rounded);
        saturated += (uint32_t)(c != rounded);
        error[i] = merged(&sides, error[i], c);
    }
    return saturated;
}

void pt_affine_merge_s8(const int8_t *error, uint32_t count, const struct pt_merge *merge)
{
    int8_t *to = merge->error;
    if (merge->factor == 0) {
        for (uint32_t i = 0; i < count; ++i) {
            to[i] = error[i];
        }
        return;
    }
    const struct sides sides = sides_of(merge);
    for (uint32_t i = 0; i < count; ++i) {
        to[i] = merged(&sides, to[i], error[i]);
    }
}

void pt_affine_mask_error_s8(const struct pt_affine *affine, const int8_t *output,
                             uint32_t count, int8_t *error)
{
    /* Outputs lie within the bounds; a bound that is not an activation's is no reason. */
    const bool cut_low = affine->low > INT8_MIN || affine->low == affine->zero_out;
    const bool cut_high = affine->high < INT8_MAX;
    const int8_t low = (int8_t)affine->low;
    const int8_t high = (int8_t)affine->high;
    if (cut_low) {
        for (uint32_t i = 0; i < count; ++i) {
            error[i] = output[i] <= low ? 0 : error[i];
        }
    }
    if (cut_high) {
        for (uint32_t i = 0; i < count; ++i) {
            error[i] = output[i] >= high ? 0 : error[i];
        }
    }
}

const struct pt_factor *pt_affine_largest_factor(const struct pt_factor *factor, uint32_t rows)
{
    return pt_row_weight_largest(factor, rows);
}

void pt_affine_weigh_error_s8(const struct pt_factor *factor, uint32_t rows, uint32_t positions,
                              int8_t *error)
{
    const struct pt_factor *largest = pt_affine_largest_factor(factor, rows);
    for (uint32_t row = 0; row < rows; row += PT_VECTOR) {
        const uint32_t count = pt_vector_count(rows - row);
        int8_t *at = error + row;
        pt_ints weight = {0};
        for (uint32_t i = 0; i < count; ++i) {
            weight[i] = pt_row_weight(&factor[row + i], largest);
        }
        for (uint32_t p = 0; p < positions; ++p, at += rows) {
            pt_store_bytes(at, (pt_load_bytes(at, count) * weight + 64) >> 7, count);
        }
    }
}
