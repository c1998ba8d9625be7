#include "kernels/pt_update.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/portable/pt_descend.h"
#include "kernels/portable/pt_lowest_bit.h"
#include "kernels/pt_edges.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_numerics.h"
#include "kernels/pt_skips.h"
#ifdef PT_HOST_VECTORS
#include "kernels/vector/pt_kept.h"
#else
#define pt_kept_row(weights) ((struct pt_kept_row){NULL, 0})
#define pt_kept_renew(weights, scores, count) ((void)0)
#define pt_kept_renew_sparse(weights, scores, bitmap, count) ((void)(bitmap))
#endif

/* pt_clamp_s8 without a branch: then compilers make vectors of the loops below. */
static int32_t clamp(int32_t x)
{
    const int32_t above = x < -PT_S8_MAX ? -PT_S8_MAX : x;
    return above > PT_S8_MAX ? PT_S8_MAX : above;
}

/* *state <- clamp(*state - clamp(PSTO(x, shift))), the step into update[i]; 1 if saturated. */
static uint32_t descend(int8_t *state, int32_t x, uint32_t shift, int8_t *update, uint32_t i)
{
    const int32_t rounded = pt_psto_s32(x, shift);
    const int32_t step = clamp(rounded);
    const int32_t target = *state - step;
    const int32_t next = clamp(target);
    *state = (int8_t)next;
    if (update != NULL) {
        update[i] = (int8_t)step;
    }
    return (uint32_t)(step != rounded) | (uint32_t)(next != target);
}

/* Whether a row has no gradient, as that of a channel without error: none of its edges moves. */
static bool idle_row(const int32_t *gradient, uint32_t count)
{
#ifdef PT_AVX512
    return PT_SKIP_ZEROS && pt_descend_idle(gradient, count);
#else
    enum { AT_ONCE = 64 };
    uint32_t any = 0;
    for (uint32_t i = 0; i < count && any == 0u;) {
        const uint32_t end = count - i < AT_ONCE ? count : i + AT_ONCE;
        for (; i < end; ++i) {
            any |= (uint32_t)gradient[i];
        }
    }
    return PT_SKIP_ZEROS && any == 0u;
#endif
}

/* The steps of an idle row: none. Returns how many saturated. */
static uint32_t stay(int8_t *update, uint32_t count)
{
    if (update != NULL) {
        memset(update, 0, count);
    }
    return 0;
}

uint32_t pt_update_weights_s8(int8_t *weights, const int32_t *gradient, uint32_t count,
                              uint32_t shift, int8_t *update)
{
    if (idle_row(gradient, count)) {
        return stay(update, count);
    }
#ifdef PT_AVX512
    return pt_descend_weights(weights, gradient, count, shift, update);
#else
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        saturated += descend(&weights[i], gradient[i], shift, update, i);
    }
    return saturated;
#endif
}

uint32_t pt_update_scores_s8(int8_t *scores, const int8_t *weights, const int32_t *gradient,
                             uint32_t count, uint32_t gradient_shift, uint32_t shift,
                             int8_t *update)
{
    if (idle_row(gradient, count)) {
        return stay(update, count);
    }
#ifdef PT_AVX512
    const struct pt_descent row = {
        scores, weights, gradient, gradient_shift, shift, update, pt_kept_row(weights), NULL,
    };
    return pt_descend_row(&row, count);
#else
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t product = pt_rhu_s32(gradient[i], gradient_shift) * weights[i];
        saturated += descend(&scores[i], product, shift, update, i);
    }
    pt_kept_renew(weights, scores, count);
    return saturated;
#endif
}

uint32_t pt_update_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap, const int8_t *weights,
                                    const int32_t *gradient, uint32_t count,
                                    uint32_t gradient_shift, uint32_t shift, int8_t *update)
{
    if (idle_row(gradient, count)) {
        return stay(update, pt_bitmap_count(bitmap, count));
    }
    const uint8_t *const of_row = bitmap;
    uint32_t saturated = 0;
#ifdef PT_AVX512
    saturated = pt_descend_sparse(scores, bitmap, weights, gradient, count, gradient_shift, shift,
                                  update);
#else
    uint32_t used = 0;
    for (uint32_t base = 0; base < count; base += 8u) {
        for (uint32_t bits = *bitmap++; bits != 0u; bits &= bits - 1u, ++used) {
            const uint32_t i = base + pt_lowest_bit(bits);
            const int32_t product = pt_rhu_s32(gradient[i], gradient_shift) * weights[i];
            saturated += descend(&scores[used], product, shift, update, used);
        }
    }
#endif
    pt_kept_renew_sparse(weights, scores, of_row, count);
    return saturated;
}

void pt_update_linear_begin(const int8_t *input, uint32_t count, void *scratch)
{
    (void)input;
    (void)count;
    (void)scratch;
}

uint32_t pt_update_linear_weights_s8(int8_t *weights, const int8_t *input, int32_t error,
                                     uint32_t count, uint32_t shift, const void *scratch,
                                     int8_t *update)
{
    (void)scratch;
    if (PT_SKIP_ZEROS && error == 0) {
        return stay(update, count);
    }
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        saturated += descend(&weights[i], error * input[i], shift, update, i);
    }
    return saturated;
}

uint32_t pt_update_linear_scores_s8(int8_t *scores, const int8_t *weights, const int8_t *input,
                                    int32_t error, uint32_t count, uint32_t shift,
                                    const void *scratch, int8_t *update)
{
    (void)scratch;
    if (PT_SKIP_ZEROS && error == 0) {
        return stay(update, count);
    }
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        saturated += descend(&scores[i], error * input[i] * weights[i], shift, update, i);
    }
    pt_kept_renew(weights, scores, count);
    return saturated;
}

uint32_t pt_update_linear_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap,
                                           const int8_t *weights, const int8_t *input,
                                           int32_t error, uint32_t count, uint32_t shift,
                                           int8_t *update)
{
    if (PT_SKIP_ZEROS && error == 0) {
        return stay(update, pt_bitmap_count(bitmap, count));
    }
    const uint8_t *const of_row = bitmap;
    uint32_t saturated = 0;
    uint32_t used = 0;
    for (uint32_t base = 0; base < count; base += 8u) {
        for (uint32_t bits = *bitmap++; bits != 0u; bits &= bits - 1u, ++used) {
            const uint32_t i = base + pt_lowest_bit(bits);
            const int32_t product = error * input[i] * weights[i];
            saturated += descend(&scores[used], product, shift, update, used);
        }
    }
    pt_kept_renew_sparse(weights, scores, of_row, count);
    return saturated;
}
