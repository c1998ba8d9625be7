/*
 * Scalar functions of docs/numerics.md, section 2. Pure, inline, no state.
 */
#ifndef PT_NUMERICS_H
#define PT_NUMERICS_H

#include <stdint.h>

/* Largest magnitude of an int8 tensor element; -128 never occurs. */
#define PT_S8_MAX 127

/* RHU(x, shift), shift 0..24; |x| <= 2^31 - 1 - 2^23 so that the rounding cannot overflow. */
static inline int32_t pt_rhu_s32(int32_t x, uint32_t shift)
{
    if (shift == 0) {
        return x;
    }
    return (x + (int32_t)(1u << (shift - 1u))) >> shift;
}

static inline int8_t pt_clamp_s8(int32_t x)
{
    if (x > PT_S8_MAX) {
        return PT_S8_MAX;
    }
    if (x < -PT_S8_MAX) {
        return -PT_S8_MAX;
    }
    return (int8_t)x;
}

static inline uint32_t pt_abs_s32(int32_t x)
{
    return x < 0 ? 0u - (uint32_t)x : (uint32_t)x;
}

/* range_bits of a tensor whose largest magnitude is `magnitude`. */
static inline uint32_t pt_range_bits(uint32_t magnitude)
{
    uint32_t bits = 0;
    if (magnitude > 1u) {
        for (uint32_t m = magnitude - 1u; m != 0u; m >>= 1) {
            ++bits;
        }
    }
    return bits;
}

/* PSTO(x, shift), shift 0..31, x > INT32_MIN; not clamped. */
static inline int32_t pt_psto_s32(int32_t x, uint32_t shift)
{
    const uint32_t magnitude = pt_abs_s32(x);
    const uint32_t half = shift >> 1;
    const uint32_t fraction = magnitude & ((1u << shift) - 1u);
    const uint32_t probability = fraction >> half;
    const uint32_t chance = (fraction & ((1u << half) - 1u)) << (shift & 1u);
    const int32_t rounded = (int32_t)((magnitude >> shift) + (probability > chance ? 1u : 0u));
    return x < 0 ? -rounded : rounded;
}

#endif
