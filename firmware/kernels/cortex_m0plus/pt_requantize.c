#include "kernels/pt_requantize.h"

#include <stddef.h>

#include "kernels/pt_skips.h"

uint32_t pt_requantize_s8(const int32_t *accumulator, uint32_t count, uint32_t shift, bool relu,
                          int8_t *output)
{
    const int32_t half = shift == 0u ? 0 : (int32_t)(1u << (shift - 1u));
    const int32_t least = relu ? 0 : -PT_S8_MAX;
    uint32_t saturated = 0;
    for (const int8_t *end = output + count; output != end;) {
        int32_t x = *accumulator++;
        if (!PT_SKIP_ZEROS || x != 0) {
            x = (x + half) >> shift;
            if (x > PT_S8_MAX) {
                x = PT_S8_MAX;
                ++saturated;
            } else if (x < least) {
                x = least;
                saturated += relu ? 0u : 1u;
            }
        }
        *output++ = (int8_t)x;
    }
    return saturated;
}

uint32_t pt_requantize_error_s8(const int32_t *accumulator, const int8_t *activation,
                                uint32_t count, uint32_t shift, int8_t *error)
{
    const uint32_t saturated = pt_requantize_s8(accumulator, count, shift, false, error);
    if (activation != NULL) {
        for (const int8_t *end = error + count; error != end; ++error) {
            if (*activation++ == 0) {
                *error = 0;
            }
        }
    }
    return saturated;
}

uint32_t pt_max_abs_s32(const int32_t *values, uint32_t count)
{
    uint32_t largest = 0;
    for (const int32_t *end = values + count; values != end;) {
        const uint32_t magnitude = pt_abs_s32(*values++);
        if (magnitude > largest) {
            largest = magnitude;
        }
    }
    return largest;
}

uint32_t pt_max_abs_s8(const int8_t *values, uint32_t count)
{
    uint32_t largest = 0;
    for (const int8_t *end = values + count; values != end;) {
        const uint32_t magnitude = pt_abs_s32(*values++);
        if (magnitude > largest) {
            largest = magnitude;
        }
    }
    return largest;
}
