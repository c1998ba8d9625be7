/*
 * Sixteen int32 at a time, in the vectors that GCC and Clang have for any machine: they make of
 * them what it has. Where AVX-512 does in one instruction what is long in C, both stand here.
 */
#ifndef PT_LANES_H
#define PT_LANES_H

#include <stdint.h>

#include "kernels/portable/pt_avx512.h"
#include "kernels/pt_affine.h"

enum { PT_VECTOR = 16 };

typedef int32_t pt_ints __attribute__((vector_size(4 * PT_VECTOR)));
typedef uint32_t pt_words __attribute__((vector_size(4 * PT_VECTOR)));
typedef int8_t pt_bytes __attribute__((vector_size(PT_VECTOR)));

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

/* The first `count` of 16 elements; the others are 0, or are left as they are. */
static inline pt_ints pt_load_bytes(const int8_t *from, uint32_t count)
{
#ifdef PT_AVX512
    return (pt_ints)_mm512_cvtepi8_epi32(
        _mm_maskz_loadu_epi8((__mmask16)pt_first_bytes(count), from));
#else
    pt_bytes bytes = {0};
    __builtin_memcpy(&bytes, from, count < PT_VECTOR ? count : sizeof bytes);
    return __builtin_convertvector(bytes, pt_ints);
#endif
}

static inline void pt_store_bytes(int8_t *to, pt_ints x, uint32_t count)
{
#ifdef PT_AVX512
    _mm_mask_storeu_epi8(to, (__mmask16)pt_first_bytes(count), _mm512_cvtepi32_epi8((__m512i)x));
#else
    const pt_bytes bytes = __builtin_convertvector(x, pt_bytes);
    __builtin_memcpy(to, &bytes, count < PT_VECTOR ? count : sizeof bytes);
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

/* sum + the products of four uint8, of which a word is made, and four int8 in each lane. */
static inline pt_words pt_dot4(pt_words sum, uint32_t left, pt_words right)
{
#ifdef PT_AVX512
    return (pt_words)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32((int32_t)left),
                                         (__m512i)right);
#else
    for (uint32_t byte = 0; byte < 4u; ++byte) {
        const pt_ints element = (pt_ints)(right << (24u - 8u * byte)) >> 24;
        sum += (pt_words)element * (left >> 8u * byte & 0xffu);
    }
    return sum;
#endif
}

/* From sums to int8: the factors of 16 channels (docs/numerics.md, section 14). */
struct pt_scaler {
    pt_ints bias;
    pt_ints multiplier;
    pt_words left;
    pt_words right;
    pt_ints fraction; /* 2^right - 1 */
};

/* One factor for each of `count` channels. */
static inline void pt_scaler_of(struct pt_scaler *scaler, const struct pt_factor *factor,
                                uint32_t count)
{
    const struct pt_scaler none = {0};
    *scaler = none;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t shift = factor[i].shift;
        scaler->bias[i] = factor[i].bias;
        scaler->multiplier[i] = factor[i].multiplier;
        scaler->left[i] = shift > 0 ? (uint32_t)shift : 0u;
        scaler->right[i] = shift < 0 ? (uint32_t)-shift : 0u;
    }
    scaler->fraction = (pt_ints)((pt_words_all(1) << scaler->right) - 1u);
}

/* SRDHM: both signs round half up, so the low 32 bits of (x * multiplier + 2^30) >> 31. */
static inline pt_ints pt_srdhm_ints(pt_ints x, pt_ints multiplier)
{
#ifdef PT_AVX512
    const __m512i half = _mm512_set1_epi64(1 << 30);
    const __m512i even = _mm512_mul_epi32((__m512i)x, (__m512i)multiplier);
    const __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64((__m512i)x, 32),
                                         _mm512_srli_epi64((__m512i)multiplier, 32));
    return (pt_ints)_mm512_mask_blend_epi32(0xaaaa,
                                            _mm512_srli_epi64(_mm512_add_epi64(even, half), 31),
                                            _mm512_slli_epi64(_mm512_add_epi64(odd, half), 1));
#else
    pt_ints high;
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        const int64_t product = (int64_t)x[i] * multiplier[i] + (1 << 30);
        high[i] = (int32_t)(uint32_t)((uint64_t)product >> 31);
    }
    return high;
#endif
}

static inline pt_ints pt_scale_ints(const struct pt_scaler *scaler, pt_ints x)
{
    const pt_ints y = pt_srdhm_ints((pt_ints)((pt_words)x << scaler->left), scaler->multiplier);
    const pt_ints threshold = (scaler->fraction >> 1) - (y >> 31);
    return (y >> (pt_ints)scaler->right) - ((y & scaler->fraction) > threshold);
}

static inline pt_ints pt_bound_ints(pt_ints x, int32_t low, int32_t high)
{
#ifdef PT_AVX512
    return (pt_ints)_mm512_min_epi32(
        _mm512_max_epi32((__m512i)x, _mm512_set1_epi32(low)), _mm512_set1_epi32(high));
#else
    const pt_ints least = pt_ints_all(low);
    const pt_ints most = pt_ints_all(high);
    const pt_ints below = x < least;
    x = (x & ~below) | (least & below);
    const pt_ints above = x > most;
    return (x & ~above) | (most & above);
#endif
}

/* bound(zero_out + scale(sums)) */
static inline pt_ints pt_output_ints(const struct pt_affine *affine,
                                     const struct pt_scaler *scaler, pt_ints sums)
{
    return pt_bound_ints(affine->zero_out + pt_scale_ints(scaler, sums), affine->low,
                         affine->high);
}

#endif
