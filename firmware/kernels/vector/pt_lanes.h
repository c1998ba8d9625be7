/*
 * Vectors of PT_VECTOR int32, as GCC and Clang have them for any machine, of its own size: larger
 * ones they take to pieces badly. Where AVX-512 does in one instruction what is long in C, both
 * stand here.
 */
#ifndef PT_LANES_H
#define PT_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/portable/pt_avx512.h"
#include "kernels/pt_affine.h"
#include "kernels/pt_fixedpoint.h"

#if defined(PT_AVX512)
enum { PT_VECTOR = 16 };
#elif defined(__AVX2__)
enum { PT_VECTOR = 8 };
#else
enum { PT_VECTOR = 4 };
#endif

typedef int32_t pt_ints __attribute__((vector_size(4 * PT_VECTOR)));
typedef uint32_t pt_words __attribute__((vector_size(4 * PT_VECTOR)));
typedef int16_t pt_halves __attribute__((vector_size(4 * PT_VECTOR)));
typedef uint16_t pt_half_words __attribute__((vector_size(4 * PT_VECTOR)));

static inline uint32_t pt_vector_count(uint32_t left)
{
    return left < PT_VECTOR ? left : PT_VECTOR;
}

static inline uint32_t pt_vector_round(uint32_t count)
{
    return (count + PT_VECTOR - 1u) & ~(PT_VECTOR - 1u);
}

static inline pt_words pt_words_all(uint32_t x)
{
    return x - (pt_words){0};
}

static inline pt_ints pt_ints_all(int32_t x)
{
    return (pt_ints)pt_words_all((uint32_t)x);
}

#ifndef PT_AVX512
/* Less bytes than lanes. */
static inline void pt_copy_few(int8_t *to, const int8_t *from, uint32_t count)
{
    uint32_t i = 0;
    for (uint32_t size = PT_VECTOR / 2; size != 0u; size /= 2u) {
        if ((count & size) != 0u) {
            __builtin_memcpy(to + i, from + i, size);
            i += size;
        }
    }
}
#endif

/* The first `count` elements of a vector; the others are 0, or are left as they are. */
static inline pt_ints pt_load_bytes(const int8_t *from, uint32_t count)
{
#ifdef PT_AVX512
    return (pt_ints)_mm512_cvtepi8_epi32(
        _mm_maskz_loadu_epi8((__mmask16)pt_first_bytes(count), from));
#else
    int8_t bytes[PT_VECTOR] = {0};
    int32_t lanes[PT_VECTOR];
    pt_ints x;
    if (count < PT_VECTOR) {
        pt_copy_few(bytes, from, count);
    } else {
        __builtin_memcpy(bytes, from, sizeof bytes);
    }
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        lanes[i] = bytes[i];
    }
    __builtin_memcpy(&x, lanes, sizeof x);
    return x;
#endif
}

static inline void pt_store_bytes(int8_t *to, pt_ints x, uint32_t count)
{
#ifdef PT_AVX512
    _mm_mask_storeu_epi8(to, (__mmask16)pt_first_bytes(count), _mm512_cvtepi32_epi8((__m512i)x));
#else
    int8_t bytes[PT_VECTOR];
    int32_t lanes[PT_VECTOR];
    __builtin_memcpy(lanes, &x, sizeof lanes);
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        bytes[i] = (int8_t)lanes[i];
    }
    if (count < PT_VECTOR) {
        pt_copy_few(to, bytes, count);
    } else {
        __builtin_memcpy(to, bytes, sizeof bytes);
    }
#endif
}

static inline pt_words pt_load_words(const void *from, uint32_t count)
{
#ifdef PT_AVX512
    return (pt_words)_mm512_maskz_loadu_epi32((__mmask16)pt_first_bytes(count), from);
#else
    pt_words words = {0};
    __builtin_memcpy(&words, from, count < PT_VECTOR ? 4u * count : sizeof words);
    return words;
#endif
}

static inline void pt_store_words(void *to, pt_words x, uint32_t count)
{
#ifdef PT_AVX512
    _mm512_mask_storeu_epi32(to, (__mmask16)pt_first_bytes(count), (__m512i)x);
#else
    __builtin_memcpy(to, &x, count < PT_VECTOR ? 4u * count : sizeof x);
#endif
}

static inline pt_ints pt_bound_ints(pt_ints x, int32_t low, int32_t high)
{
#ifdef PT_AVX512
    return (pt_ints)_mm512_min_epi32(_mm512_max_epi32((__m512i)x, _mm512_set1_epi32(low)),
                                     _mm512_set1_epi32(high));
#else
    int32_t lanes[PT_VECTOR];
    __builtin_memcpy(lanes, &x, sizeof x);
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        const int32_t above = lanes[i] < low ? low : lanes[i];
        lanes[i] = above > high ? high : above;
    }
    __builtin_memcpy(&x, lanes, sizeof x);
    return x;
#endif
}

/* sum + the products of four uint8 and four int8 in each lane. */
static inline pt_words pt_dot4(pt_words sum, pt_words left, pt_words right)
{
#ifdef PT_AVX512
    return (pt_words)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)left, (__m512i)right);
#else
    /* A product fits int16, of which machines multiply more at a time. */
    const pt_halves even = (pt_halves)((pt_half_words)right << 8) >> 8;
    const pt_halves odd = (pt_halves)right >> 8;
    const pt_ints a = (pt_ints)(even * (pt_halves)(left & 0x00ff00ffu));
    const pt_ints b = (pt_ints)(odd * (pt_halves)(left >> 8 & 0x00ff00ffu));
    const pt_ints low = ((pt_ints)((pt_words)a << 16) >> 16) + ((pt_ints)((pt_words)b << 16) >> 16);
    return sum + (pt_words)(low + (a >> 16) + (b >> 16));
#endif
}

/*
 * From sums to int8 (docs/numerics.md, section 14): the factors of a vector of channels. With
 * t = x * multiplier + 2^30, SRDHM is t >> 31 for both signs, and RDP of that
 * (t + 2^(30+n) - [t < 0] * 2^31) >> (31+n), or t >> 31 where n is 0.
 */
struct pt_scaler {
    pt_ints bias;
    pt_words left; /* shifts */
    bool any_left;
    bool relu;     /* what is below 0 becomes `low` however it is rounded */
    int32_t zero_out;
    int32_t low;
    int32_t high;
#ifdef PT_AVX512
    /* Of the even channels and of the odd ones. */
    __m512i multiplier[2];
    __m512i half[2];
    __m512i below[2]; /* taken off where t < 0 */
    __m512i right[2];
#else
    int32_t multiplier[PT_VECTOR];
    uint32_t right[PT_VECTOR];
#endif
};

/* One factor for each of `count` channels. */
static inline void pt_scaler_of(struct pt_scaler *scaler, const struct pt_affine *affine,
                                const struct pt_factor *factor, uint32_t count)
{
    pt_ints multiplier = {0};
    pt_words right = {0};
    scaler->bias = pt_ints_all(0);
    scaler->left = pt_words_all(0);
    scaler->any_left = false;
    scaler->zero_out = affine->zero_out;
    scaler->low = affine->low;
    scaler->high = affine->high;
    scaler->relu = affine->low >= affine->zero_out;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t shift = factor[i].shift;
        scaler->bias[i] = factor[i].bias;
        multiplier[i] = factor[i].multiplier;
        scaler->left[i] = shift > 0 ? (uint32_t)shift : 0u;
        scaler->any_left = scaler->any_left || shift > 0;
        right[i] = shift < 0 ? (uint32_t)-shift : 0u;
    }
#ifdef PT_AVX512
    const __m512i one = _mm512_set1_epi64(1);
    for (uint32_t odd = 0; odd < 2u; ++odd) {
        const __m512i n = odd ? _mm512_srli_epi64((__m512i)right, 32)
                              : _mm512_and_si512((__m512i)right, _mm512_set1_epi64(0xffffffff));
        const __mmask8 rounds = _mm512_test_epi64_mask(n, n);
        const __m512i half = _mm512_sllv_epi64(one, _mm512_add_epi64(n, _mm512_set1_epi64(30)));
        scaler->multiplier[odd] = odd ? _mm512_srli_epi64((__m512i)multiplier, 32)
                                      : (__m512i)multiplier;
        scaler->half[odd] = _mm512_maskz_mov_epi64(rounds, half);
        scaler->below[odd] = _mm512_maskz_slli_epi64(rounds, one, 31);
        scaler->right[odd] = _mm512_add_epi64(n, _mm512_set1_epi64(31));
    }
#else
    __builtin_memcpy(scaler->multiplier, &multiplier, sizeof multiplier);
    __builtin_memcpy(scaler->right, &right, sizeof right);
#endif
}

#ifdef PT_AVX512

/* The even or the odd channels, scaled. */
static inline __m512i pt_scale_half(const struct pt_scaler *scaler, __m512i x, uint32_t odd,
                                    bool relu)
{
    const __m512i product = _mm512_mul_epi32(x, scaler->multiplier[odd]);
    __m512i t = _mm512_add_epi64(product, _mm512_set1_epi64(1 << 30));
    if (!relu) {
        t = _mm512_mask_sub_epi64(t, _mm512_movepi64_mask(t), t, scaler->below[odd]);
    }
    return _mm512_srav_epi64(_mm512_add_epi64(t, scaler->half[odd]), scaler->right[odd]);
}

/* scale(x); where `relu`, of what is below 0 only that the result is not above. */
static inline pt_ints pt_scale_ints(const struct pt_scaler *scaler, pt_ints x, bool relu)
{
    if (scaler->any_left) {
        x = (pt_ints)((pt_words)x << scaler->left);
    }
    const __m512i even = pt_scale_half(scaler, (__m512i)x, 0, relu);
    const __m512i odd = pt_scale_half(scaler, _mm512_srli_epi64((__m512i)x, 32), 1, relu);
    return (pt_ints)_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA);
}

/* bound(zero_out + scale(sums)) of the first `count`. */
static inline void pt_store_output(int8_t *to, const struct pt_scaler *scaler, pt_ints sums,
                                   uint32_t count)
{
    const pt_ints scaled = scaler->relu ? pt_scale_ints(scaler, sums, true)
                                        : pt_scale_ints(scaler, sums, false);
    /* Bounds lie within int8, so what does not may become the nearest that does. */
    const __m128i bytes = _mm512_cvtsepi32_epi8((__m512i)(scaled + scaler->zero_out));
    const __m128i bound = _mm_min_epi8(_mm_max_epi8(bytes, _mm_set1_epi8((char)scaler->low)),
                                       _mm_set1_epi8((char)scaler->high));
    _mm_mask_storeu_epi8(to, (__mmask16)pt_first_bytes(count), bound);
}

#else

/* In loops over arrays, of which compilers make vectors. */
static inline void pt_scale_lanes(const struct pt_scaler *scaler, pt_ints x, int32_t *lanes)
{
    x = (pt_ints)((pt_words)x << scaler->left);
    __builtin_memcpy(lanes, &x, sizeof x);
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        const int64_t product = (int64_t)lanes[i] * scaler->multiplier[i] + (1 << 30);
        lanes[i] = (int32_t)(uint32_t)((uint64_t)product >> 31);
    }
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        lanes[i] = pt_rdp_s32(lanes[i], scaler->right[i]);
    }
}

static inline pt_ints pt_scale_ints(const struct pt_scaler *scaler, pt_ints x, bool relu)
{
    int32_t lanes[PT_VECTOR];
    (void)relu;
    pt_scale_lanes(scaler, x, lanes);
    __builtin_memcpy(&x, lanes, sizeof x);
    return x;
}

static inline void pt_store_output(int8_t *to, const struct pt_scaler *scaler, pt_ints sums,
                                   uint32_t count)
{
    int32_t lanes[PT_VECTOR];
    pt_scale_lanes(scaler, sums, lanes);
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        const int32_t x = scaler->zero_out + lanes[i];
        const int32_t above = x < scaler->low ? scaler->low : x;
        lanes[i] = above > scaler->high ? scaler->high : above;
    }
    __builtin_memcpy(&sums, lanes, sizeof sums);
    pt_store_bytes(to, sums, count);
}

#endif

#endif
