#include "kernels/pt_requantize.h"

#include <stddef.h>

uint32_t pt_requantize_s8(const int32_t *accumulator, uint32_t count, uint32_t shift, bool relu,
                          int8_t *output)
{
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        output[i] = pt_requantize_s32(accumulator[i], shift, relu, &saturated);
    }
    return saturated;
}

uint32_t pt_requantize_error_s8(const int32_t *accumulator, const int8_t *activation,
                                uint32_t count, uint32_t shift, int8_t *error)
{
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const int8_t value = pt_requantize_s32(accumulator[i], shift, false, &saturated);
        error[i] = (activation != NULL && activation[i] == 0) ? 0 : value;
    }
    return saturated;
}
