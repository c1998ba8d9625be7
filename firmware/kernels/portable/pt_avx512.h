/*
 * PT_AVX512 is defined where the machine has the vectors that some loops are written for, beside
 * plain C that gives the same bits: compilers do not find these instructions by themselves.
 */
#ifndef PT_AVX512_H
#define PT_AVX512_H

#if defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && \
    defined(__AVX512VBMI2__) && defined(__AVX512VNNI__)

#define PT_AVX512

#include <immintrin.h>
#include <stdint.h>

/* The first `count` of 64 bytes. */
static inline __mmask64 pt_first_bytes(uint32_t count)
{
    return count < 64u ? (1ull << count) - 1u : ~0ull;
}

/* 64 bits of a bitmap of which `left` are left. */
static inline uint64_t pt_load_bits(const uint8_t *bitmap, uint32_t left)
{
    const __mmask16 bytes = left < 64u ? (__mmask16)((1u << (left + 7u) / 8u) - 1u) : 0xffu;
    return (uint64_t)_mm_cvtsi128_si64(_mm_maskz_loadu_epi8(bytes, bitmap));
}

#endif

#endif
