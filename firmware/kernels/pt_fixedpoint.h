/*
 * Scalar functions of the affine form (docs/numerics.md, section 14). Pure, inline, no state.
 */
#ifndef PT_FIXEDPOINT_H
#define PT_FIXEDPOINT_H

#include <stdint.h>

#include "kernels/pt_numerics.h"

/*
 * SRDHM(x, multiplier), multiplier 0..2^31 - 1: so the product never needs to saturate. Its
 * magnitude is nudged by a half, by one less where x is negative, and shifted: the division towards
 * zero. Four 16-bit products, because the Cortex-M0+ has no longer one and libgcc's is slow.
 */
static inline int32_t pt_srdhm_s32(int32_t x, int32_t multiplier)
{
    const uint32_t a = pt_abs_s32(x);
    const uint32_t b = (uint32_t)multiplier;
    const uint32_t a_low = a & 0xffffu;
    const uint32_t a_high = a >> 16;
    const uint32_t b_low = b & 0xffffu;
    const uint32_t b_high = b >> 16;
    const uint32_t lowest = a_low * b_low;
    const uint32_t one = a_low * b_high;
    const uint32_t other = a_high * b_low;
    const uint32_t middle = (lowest >> 16) + (one & 0xffffu) + (other & 0xffffu);
    const uint32_t low = middle << 16 | (lowest & 0xffffu);
    const uint32_t high = a_high * b_high + (one >> 16) + (other >> 16) + (middle >> 16);
    const uint32_t nudged = low + (x < 0 ? 0x3fffffffu : 0x40000000u);
    const uint32_t carry = nudged < low ? 1u : 0u;
    const uint32_t rounded = (high + carry) << 1 | nudged >> 31;
    return x < 0 ? (int32_t)(0u - rounded) : (int32_t)rounded;
}

/* RDP(x, n), n 0..31. */
static inline int32_t pt_rdp_s32(int32_t x, uint32_t n)
{
    const uint32_t mask = (1u << n) - 1u;
    const uint32_t threshold = (mask >> 1) + (x < 0 ? 1u : 0u);
    return (x >> n) + (((uint32_t)x & mask) > threshold ? 1 : 0);
}

/* scale(x, multiplier, shift), shift -31..30; x * 2^shift must fit where shift is positive. */
static inline int32_t pt_scale_s32(int32_t x, int32_t multiplier, int32_t shift)
{
    const uint32_t left = shift > 0 ? (uint32_t)shift : 0u;
    const uint32_t right = shift < 0 ? (uint32_t)-shift : 0u;
    return pt_rdp_s32(pt_srdhm_s32((int32_t)((uint32_t)x << left), multiplier), right);
}

#endif
