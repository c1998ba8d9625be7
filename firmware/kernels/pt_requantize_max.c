#include "kernels/pt_requantize.h"

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
