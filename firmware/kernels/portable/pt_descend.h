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

/* Moves the masked ones of 64 states; x holds 16 elements a vector. Returns how many saturated. */
static inline uint32_t pt_descend_64(int8_t *state, const __m512i x[4], __mmask64 edges,
                                     uint32_t shift, int8_t *update)
{
    const __m512i most = _mm512_set1_epi8(PT_S8_MAX);
    __m512i magnitude = _mm512_castsi128_si512(pt_psto_magnitude(x[0], shift));
    magnitude = _mm512_inserti32x4(magnitude, pt_psto_magnitude(x[1], shift), 1);
    magnitude = _mm512_inserti32x4(magnitude, pt_psto_magnitude(x[2], shift), 2);
    magnitude = _mm512_inserti32x4(magnitude, pt_psto_magnitude(x[3], shift), 3);
    const __mmask64 negative =
        _mm512_kunpackd(_mm512_kunpackw(_mm512_movepi32_mask(x[3]), _mm512_movepi32_mask(x[2])),
                        _mm512_kunpackw(_mm512_movepi32_mask(x[1]), _mm512_movepi32_mask(x[0])));
    const __m512i clamped = _mm512_min_epu8(magnitude, most);
    const __m512i step =
        _mm512_mask_sub_epi8(clamped, negative, _mm512_setzero_si512(), clamped);
    const __m512i old = _mm512_maskz_loadu_epi8(edges, state);
    const __m512i next =
        _mm512_max_epi8(_mm512_subs_epi8(old, step), _mm512_set1_epi8(-PT_S8_MAX));
    const __mmask64 saturated = _mm512_cmpneq_epi8_mask(magnitude, clamped) |
                                _mm512_cmpneq_epi8_mask(next, _mm512_sub_epi8(old, step));
    _mm512_mask_storeu_epi8(state, edges, next);
    if (update != NULL) {
        _mm512_mask_storeu_epi8(update, edges, step);
    }
    return (uint32_t)__builtin_popcountll(saturated & edges);
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

/* RHU(gradient, gradient_shift) * weights, of 16 edges. */
static inline __m512i pt_products(const int32_t *gradient, const int8_t *weights,
                                  __mmask64 edges, uint32_t k, uint32_t gradient_shift)
{
    __m512i g = pt_load_elements(gradient, edges, k);
    if (gradient_shift != 0u) {
        const __m512i half = _mm512_set1_epi32((int32_t)(1u << (gradient_shift - 1u)));
        g = _mm512_sra_epi32(_mm512_add_epi32(g, half),
                             _mm_cvtsi32_si128((int32_t)gradient_shift));
    }
    const __m128i w = _mm_maskz_loadu_epi8((__mmask16)(edges >> 16u * k), weights + 16u * k);
    return _mm512_mullo_epi32(g, _mm512_cvtepi8_epi32(w));
}

static inline uint32_t pt_descend_weights(int8_t *weights, const int32_t *gradient,
                                          uint32_t count, uint32_t shift, int8_t *update)
{
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; i += 64u) {
        const __mmask64 edges = pt_first_bytes(count - i);
        __m512i x[4];
        for (uint32_t k = 0; k < 4u; ++k) {
            x[k] = pt_load_elements(gradient + i, edges, k);
        }
        saturated += pt_descend_64(weights + i, x, edges, shift,
                                   update == NULL ? NULL : update + i);
    }
    return saturated;
}

static inline uint32_t pt_descend_scores(int8_t *scores, const int8_t *weights,
                                         const int32_t *gradient, uint32_t count,
                                         uint32_t gradient_shift, uint32_t shift, int8_t *update)
{
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; i += 64u) {
        const __mmask64 edges = pt_first_bytes(count - i);
        __m512i x[4];
        for (uint32_t k = 0; k < 4u; ++k) {
            x[k] = pt_products(gradient + i, weights + i, edges, k, gradient_shift);
        }
        saturated += pt_descend_64(scores + i, x, edges, shift,
                                   update == NULL ? NULL : update + i);
    }
    return saturated;
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
