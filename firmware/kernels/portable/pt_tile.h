/*
 * Dot products of up to PT_TILE patches of a convolution's input with up to PT_TILE rows of
 * weights: each patch and each row is read once for all of them.
 *
 * A patch holds input + the offset that pt_tile_offset gives, in the element that the machine
 * multiplies fastest.
 */
#ifndef PT_TILE_H
#define PT_TILE_H

#include <stdint.h>

#include "kernels/portable/pt_avx512.h"

enum { PT_TILE = 4 };

struct pt_tile {
    const void *patch; /* the first; patch_size bytes to the next */
    uint32_t patch_size;
    uint32_t patches;
    const int8_t *row;
    uint32_t row_size;
    uint32_t rows;
    uint32_t length;
    int32_t offset;
};

#ifdef PT_AVX512

/* The machine multiplies uint8 by int8: an input with negative elements is moved up. */
typedef uint8_t pt_patch_element;
enum { PT_PATCH_ALIGNMENT = 64 };

static inline int32_t pt_tile_offset(const int8_t *input, uint32_t count)
{
    uint8_t any = 0;
    for (uint32_t i = 0; i < count; ++i) {
        any |= (uint8_t)input[i];
    }
    return any & 0x80u ? 128 : 0;
}

/* The sums of the lanes of four vectors, side by side. */
static inline __m128i pt_tile_totals(__m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd),
                                         _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all),
                                          _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* What the offset added to the sums of four rows. */
static inline __m128i pt_tile_excess(const int8_t *const row[PT_TILE], uint32_t length,
                                     int32_t offset)
{
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum[PT_TILE];
    for (uint32_t r = 0; r < PT_TILE; ++r) {
        sum[r] = _mm512_setzero_si512();
        for (uint32_t i = 0; i < length; i += 64u) {
            const __mmask64 mask = pt_first_bytes(length - i);
            sum[r] = _mm512_dpbusd_epi32(sum[r], ones, _mm512_maskz_loadu_epi8(mask, row[r] + i));
        }
    }
    return _mm_mullo_epi32(pt_tile_totals(sum[0], sum[1], sum[2], sum[3]),
                           _mm_set1_epi32(offset));
}

/* sums[patch][row]; what is beyond tile->patches or tile->rows means nothing. */
static inline void pt_tile_sums(const struct pt_tile *tile, int32_t sums[PT_TILE][PT_TILE])
{
    const uint8_t *patch[PT_TILE];
    const int8_t *row[PT_TILE];
    __m512i sum[PT_TILE][PT_TILE];
    for (uint32_t k = 0; k < PT_TILE; ++k) {
        const uint32_t p = k < tile->patches ? k : 0u;
        const uint32_t r = k < tile->rows ? k : 0u;
        patch[k] = (const uint8_t *)tile->patch + p * tile->patch_size;
        row[k] = tile->row + r * tile->row_size;
        for (uint32_t l = 0; l < PT_TILE; ++l) {
            sum[k][l] = _mm512_setzero_si512();
        }
    }
    for (uint32_t i = 0; i < tile->length; i += 64u) {
        const __mmask64 mask = pt_first_bytes(tile->length - i);
        __m512i weights[PT_TILE];
        for (uint32_t r = 0; r < PT_TILE; ++r) {
            weights[r] = _mm512_maskz_loadu_epi8(mask, row[r] + i);
        }
        for (uint32_t p = 0; p < PT_TILE; ++p) {
            const __m512i inputs = _mm512_maskz_loadu_epi8(mask, patch[p] + i);
            for (uint32_t r = 0; r < PT_TILE; ++r) {
                sum[p][r] = _mm512_dpbusd_epi32(sum[p][r], inputs, weights[r]);
            }
        }
    }
    const __m128i excess = tile->offset == 0 ? _mm_setzero_si128()
                                             : pt_tile_excess(row, tile->length, tile->offset);
    for (uint32_t p = 0; p < PT_TILE; ++p) {
        const __m128i totals = pt_tile_totals(sum[p][0], sum[p][1], sum[p][2], sum[p][3]);
        _mm_storeu_si128((__m128i *)(void *)sums[p], _mm_sub_epi32(totals, excess));
    }
}

#else

/*
 * Compilers make vectors of sums of int16 products, not of int8 ones; where there are none, the
 * shorter one is faster.
 */
#ifdef __ARM_ARCH_6M__
typedef int8_t pt_patch_element;
#else
typedef int16_t pt_patch_element;
#endif
enum { PT_PATCH_ALIGNMENT = 4 };

static inline int32_t pt_tile_offset(const int8_t *input, uint32_t count)
{
    (void)input;
    (void)count;
    return 0;
}

/* Not inlined: a processor with few registers needs them all for this loop. */
__attribute__((noinline)) static int32_t pt_tile_dot(const pt_patch_element *patch,
                                                     const int8_t *row, uint32_t length)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < length; ++i) {
        sum += patch[i] * row[i];
    }
    return sum;
}

/* sums[patch][row]; what is beyond tile->patches or tile->rows means nothing. */
static inline void pt_tile_sums(const struct pt_tile *tile, int32_t sums[PT_TILE][PT_TILE])
{
    for (uint32_t r = 0; r < tile->rows; ++r) {
        const int8_t *row = tile->row + r * tile->row_size;
        const pt_patch_element *patch = tile->patch;
        for (uint32_t p = 0; p < tile->patches; ++p) {
            sums[p][r] = pt_tile_dot(patch, row, tile->length);
            patch += tile->patch_size / sizeof *patch;
        }
    }
}

#endif

#endif
