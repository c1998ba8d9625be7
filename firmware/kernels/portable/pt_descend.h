/*
 * The update step of pt_update.c on 64 edges at a time, where the machine has AVX-512.
 */
#ifndef PT_DESCEND_H
#define PT_DESCEND_H

#include "kernels/portable/pt_avx512.h"

#ifdef PT_AVX512

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_numerics.h"

/* PSTO's magnitude, at most 255, of 16 elements: beyond 127 it saturates. */
static inline __m128i pt_psto_magnitude(__m512i x, uint32_t shift)
{
    const uint32_t half = shift >> 1;
    const __m512i magnitude = _mm512_abs_epi32(x);
    const __m512i fraction =
        _mm512_and_si512(magnitude, _mm512_set1_epi32((int32_t)((1u << shift) - 1u)));
    const __m512i probability = _mm512_srl_epi32(fraction, _mm_cvtsi32_si128((int32_t)half));
    const __m512i rest =
        _mm512_and_si512(fraction, _mm512_set1_epi32((int32_t)((1u << half) - 1u)));
    const __m512i chance = _mm512_sll_epi32(rest, _mm_cvtsi32_si128((int32_t)(shift & 1u)));
    const __m512i whole = _mm512_srl_epi32(magnitude, _mm_cvtsi32_si128((int32_t)shift));
    const __mmask16 up = _mm512_cmpgt_epu32_mask(probability, chance);
    return _mm512_cvtusepi32_epi8(
        _mm512_mask_add_epi32(whole, up, whole, _mm512_set1_epi32(1)));
}

/* Of four vectors of 16 elements, x, those of 64 bytes: elements 4L.. of each lie in lane L. */
static inline __m512i pt_in_lanes(__m512i x)
{
    const __m512i turned = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(turned, x); /* which is its own inverse */
}

/* PSTO's magnitude of 32 magnitudes below 2^16, at most 255. */
static inline __m512i pt_psto_halves(__m512i magnitude, uint32_t shift)
{
    const uint32_t half = shift >> 1;
    const __m512i fraction =
        _mm512_and_si512(magnitude, _mm512_set1_epi16((int16_t)((1u << shift) - 1u)));
    const __m512i probability = _mm512_srl_epi16(fraction, _mm_cvtsi32_si128((int32_t)half));
    const __m512i rest =
        _mm512_and_si512(fraction, _mm512_set1_epi16((int16_t)((1u << half) - 1u)));
    const __m512i chance = _mm512_sll_epi16(rest, _mm_cvtsi32_si128((int32_t)(shift & 1u)));
    const __m512i whole = _mm512_srl_epi16(magnitude, _mm_cvtsi32_si128((int32_t)shift));
    const __mmask32 up = _mm512_cmpgt_epu16_mask(probability, chance);
    return _mm512_min_epu16(_mm512_mask_add_epi16(whole, up, whole, _mm512_set1_epi16(1)),
                            _mm512_set1_epi16(255));
}

/* The steps of 64 elements before they are clamped: magnitudes up to 255, and a sign. */
struct pt_steps {
    __m512i magnitude;
    __mmask64 negative;
};

/* Of x, of any size. */
static inline struct pt_steps pt_steps_of_words(const __m512i x[4], uint32_t shift)
{
    struct pt_steps steps;
    steps.magnitude = _mm512_castsi128_si512(pt_psto_magnitude(x[0], shift));
    steps.magnitude = _mm512_inserti32x4(steps.magnitude, pt_psto_magnitude(x[1], shift), 1);
    steps.magnitude = _mm512_inserti32x4(steps.magnitude, pt_psto_magnitude(x[2], shift), 2);
    steps.magnitude = _mm512_inserti32x4(steps.magnitude, pt_psto_magnitude(x[3], shift), 3);
    steps.negative =
        _mm512_kunpackd(_mm512_kunpackw(_mm512_movepi32_mask(x[3]), _mm512_movepi32_mask(x[2])),
                        _mm512_kunpackw(_mm512_movepi32_mask(x[1]), _mm512_movepi32_mask(x[0])));
    return steps;
}

/*
 * Of g * weights, or of g where `weighs` is false: in halves of words, of which a machine has twice
 * as many at a time, if all products fit.
 */
static inline struct pt_steps pt_steps_of(const __m512i g[4], __m512i weights, bool weighs,
                                          uint32_t shift)
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i top = _mm512_set1_epi16(INT16_MIN);
    const __m512i turned = pt_in_lanes(weights);
    const __m512i factors = _mm512_abs_epi8(turned);
    __m512i magnitude[2];
    __m512i sign[2];
    __m512i over = zero;
    for (uint32_t i = 0; i < 2u; ++i) {
        const __m512i low = g[2u * i];
        const __m512i high = g[2u * i + 1u];
        const __m512i size = _mm512_packus_epi32(_mm512_abs_epi32(low), _mm512_abs_epi32(high));
        magnitude[i] = size;
        sign[i] = _mm512_packs_epi32(low, high);
        over = _mm512_or_si512(over, _mm512_and_si512(size, top));
        if (weighs) {
            const __m512i factor = i == 0u ? _mm512_unpacklo_epi8(factors, zero)
                                           : _mm512_unpackhi_epi8(factors, zero);
            const __m512i signs = i == 0u ? _mm512_unpacklo_epi8(turned, turned)
                                          : _mm512_unpackhi_epi8(turned, turned);
            over = _mm512_or_si512(over, _mm512_mulhi_epu16(size, factor));
            magnitude[i] = _mm512_mullo_epi16(size, factor);
            sign[i] = _mm512_xor_si512(sign[i], signs);
        }
    }
    if (_mm512_test_epi32_mask(over, over) != 0) {
        __m512i x[4];
        for (uint32_t k = 0; k < 4u; ++k) {
            const __m128i w = _mm512_castsi512_si128(
                _mm512_maskz_compress_epi64((__mmask8)(3u << 2u * k), weights));
            x[k] = weighs ? _mm512_mullo_epi32(g[k], _mm512_cvtepi8_epi32(w)) : g[k];
        }
        return pt_steps_of_words(x, shift);
    }
    return (struct pt_steps){
        pt_in_lanes(_mm512_packus_epi16(pt_psto_halves(magnitude[0], shift),
                                        pt_psto_halves(magnitude[1], shift))),
        _mm512_movepi8_mask(pt_in_lanes(_mm512_packs_epi16(sign[0], sign[1]))),
    };
}

/* Moves 64 states, or those of them that a bitmap says there are: these lie packed. Returns how
 * many saturated. */
static inline __attribute__((always_inline)) uint32_t
pt_descend_64(int8_t *state, struct pt_steps steps, __mmask64 edges, __mmask64 scored, bool sparse,
              int8_t *update, __m512i weights, const struct pt_kept_row *kept)
{
    const __m512i zero = _mm512_setzero_si512();
    if (_mm512_mask_test_epi8_mask(scored, steps.magnitude, steps.magnitude) == 0) {
        if (update != NULL) {
            _mm512_mask_storeu_epi8(update, edges, zero);
        }
        return 0;
    }
    const __mmask64 packed =
        sparse ? pt_first_bytes((uint32_t)__builtin_popcountll(scored)) : scored;
    const __m512i clamped = _mm512_min_epu8(steps.magnitude, _mm512_set1_epi8(PT_S8_MAX));
    const __m512i step = _mm512_mask_sub_epi8(clamped, steps.negative, zero, clamped);
    const __m512i given = _mm512_maskz_loadu_epi8(packed, state);
    const __m512i old = sparse ? _mm512_maskz_expand_epi8(scored, given) : given;
    const __m512i next =
        _mm512_max_epi8(_mm512_subs_epi8(old, step), _mm512_set1_epi8(-PT_S8_MAX));
    const __mmask64 saturated = _mm512_cmpneq_epi8_mask(steps.magnitude, clamped) |
                                _mm512_cmpneq_epi8_mask(next, _mm512_sub_epi8(old, step));
    _mm512_mask_storeu_epi8(state, packed,
                            sparse ? _mm512_maskz_compress_epi8(scored, next) : next);
    if (update != NULL) {
        _mm512_mask_storeu_epi8(update, edges, step);
    }
    if (kept->effective != NULL) {
        const __m512i least = _mm512_set1_epi8((char)kept->threshold);
        const __mmask64 pruned = _mm512_mask_cmplt_epi8_mask(scored, next, least);
        if (pruned != _mm512_mask_cmplt_epi8_mask(scored, old, least)) {
            _mm512_mask_storeu_epi8(kept->effective, edges,
                                    _mm512_maskz_mov_epi8(~pruned, weights));
        }
    }
    return (uint32_t)__builtin_popcountll(saturated & scored);
}

/* Elements 16k.. of a row that has `edges` of the 64. */
static inline __m512i pt_load_elements(const int32_t *from, __mmask64 edges, uint32_t k)
{
    return _mm512_maskz_loadu_epi32((__mmask16)(edges >> 16u * k), from + 16u * k);
}

/* Whether all elements are 0. */
static inline bool pt_descend_idle(const int32_t *gradient, uint32_t count)
{
    __mmask16 any = 0;
    for (uint32_t i = 0; i < count && any == 0; i += 64u) {
        const __mmask64 edges = pt_first_bytes(count - i);
        __m512i all = pt_load_elements(gradient + i, edges, 0);
        for (uint32_t k = 1; k < 4u; ++k) {
            all = _mm512_or_si512(all, pt_load_elements(gradient + i, edges, k));
        }
        any = _mm512_test_epi32_mask(all, all);
    }
    return any == 0;
}

/* RHU of 16 elements. */
static inline __m512i pt_halved(__m512i g, uint32_t shift)
{
    if (shift == 0u) {
        return g;
    }
    const __m512i half = _mm512_set1_epi32((int32_t)(1u << (shift - 1u)));
    return _mm512_sra_epi32(_mm512_add_epi32(g, half), _mm_cvtsi32_si128((int32_t)shift));
}

/* RHU(gradient, gradient_shift) * weights, of 16 edges. */
static inline __m512i pt_products(const int32_t *gradient, const int8_t *weights,
                                  __mmask64 edges, uint32_t k, uint32_t gradient_shift)
{
    const __m512i g = pt_halved(pt_load_elements(gradient, edges, k), gradient_shift);
    const __m128i w = _mm_maskz_loadu_epi8((__mmask16)(edges >> 16u * k), weights + 16u * k);
    return _mm512_mullo_epi32(g, _mm512_cvtepi8_epi32(w));
}

/* What is the same for all of a row: its states descend by the gradient, times `weights` unless
 * that is NULL. */
struct pt_descent {
    int8_t *state;
    const int8_t *weights;
    const int32_t *gradient;
    uint32_t gradient_shift;
    uint32_t shift;
    int8_t *update;
    struct pt_kept_row kept;
    const uint8_t *bitmap; /* of a row with packed states, or NULL */
};

/* The `edges` of the 64 from i on, by their gradient. Packed states are passed by, too. Returns how
 * many saturated. */
static inline __attribute__((always_inline)) uint32_t
pt_descend_by(struct pt_descent *row, uint32_t i, __mmask64 edges, __m512i g[4])
{
    enum { AHEAD = 256 }; /* bytes that are asked for early, as rows are short and far away */
    const bool sparse = row->bitmap != NULL;
    int8_t *update = row->update == NULL ? NULL : row->update + i;
    int8_t *state = row->state + i;
    __mmask64 scored = edges;
    if (sparse) {
        scored = pt_load_bits(row->bitmap + i / 8u, (uint32_t)__builtin_popcountll(edges));
        state = row->state;
        row->state += __builtin_popcountll(scored);
    }
    const __m512i any = _mm512_or_si512(_mm512_or_si512(g[0], g[1]), _mm512_or_si512(g[2], g[3]));
    if (_mm512_test_epi32_mask(any, any) == 0 || scored == 0) {
        if (update != NULL) {
            _mm512_mask_storeu_epi8(update, edges, _mm512_setzero_si512());
        }
        return 0; /* neither weights nor states are read */
    }
    for (uint32_t k = 0; k < 4u; ++k) {
        g[k] = pt_halved(g[k], row->gradient_shift);
    }
    _mm_prefetch(state + AHEAD, _MM_HINT_T0);
    __m512i w = _mm512_setzero_si512();
    if (row->weights != NULL) {
        _mm_prefetch(row->weights + i + AHEAD, _MM_HINT_T0);
        w = _mm512_maskz_loadu_epi8(edges, row->weights + i);
    }
    const struct pt_kept_row kept = {
        row->kept.effective == NULL ? NULL : row->kept.effective + i,
        row->kept.threshold,
    };
    const struct pt_steps steps = pt_steps_of(g, w, row->weights != NULL, row->shift);
    return sparse ? pt_descend_64(state, steps, edges, scored, true, NULL, w, &kept)
                  : pt_descend_64(state, steps, edges, edges, false, update, w, &kept);
}

static inline __attribute__((always_inline)) uint32_t pt_descend_at(struct pt_descent *row,
                                                                    uint32_t i, __mmask64 edges)
{
    __m512i g[4];
    for (uint32_t k = 0; k < 4u; ++k) {
        g[k] = pt_load_elements(row->gradient + i, edges, k);
    }
    return pt_descend_by(row, i, edges, g);
}

static inline uint32_t pt_descend_row(const struct pt_descent *of, uint32_t count)
{
    struct pt_descent row = *of; /* nothing that is stored can lie over it */
    uint32_t saturated = 0;
    uint32_t i = 0;
    for (; i + 64u <= count; i += 64u) {
        saturated += pt_descend_at(&row, i, ~0ull);
    }
    return i < count ? saturated + pt_descend_at(&row, i, pt_first_bytes(count - i)) : saturated;
}

static inline uint32_t pt_descend_weights(int8_t *weights, const int32_t *gradient,
                                          uint32_t count, uint32_t shift, int8_t *update)
{
    const struct pt_descent row = {
        .state = weights, .gradient = gradient, .shift = shift, .update = update,
    };
    return pt_descend_row(&row, count);
}

/* The products of the scored edges are packed, and used as soon as there are enough of them. */
static inline uint32_t pt_descend_sparse(int8_t *scores, const uint8_t *bitmap,
                                         const int8_t *weights, const int32_t *gradient,
                                         uint32_t count, uint32_t gradient_shift, uint32_t shift,
                                         int8_t *update)
{
    enum { ENOUGH = 256 };
    int32_t packed[ENOUGH + 64 + 16];
    uint32_t held = 0;
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; i += 64u) {
        const uint32_t left = count - i;
        const uint64_t scored = pt_load_bits(bitmap + i / 8u, left);
        for (uint32_t k = 0; k < 4u; ++k) {
            const __mmask16 some = (__mmask16)(scored >> 16u * k);
            const __m512i x = pt_products(gradient + i, weights + i, scored, k, gradient_shift);
            _mm512_storeu_si512(packed + held, _mm512_maskz_compress_epi32(some, x));
            held += (uint32_t)__builtin_popcount(some);
        }
        if (held >= ENOUGH || left <= 64u) {
            saturated += pt_descend_weights(scores, packed, held, shift, update);
            scores += held;
            update = update == NULL ? NULL : update + held;
            held = 0;
        }
    }
    return saturated;
}

#endif

#endif
