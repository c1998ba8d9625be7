#include "kernels/pt_requantize.h"

#include <stddef.h>

#include "kernels/vector/pt_outputs.h"

static uint32_t requantize(const int32_t *accumulator, uint32_t count, struct pt_outputs *outputs)
{
    for (uint32_t i = 0; i < count; i += PT_VECTOR) {
        const uint32_t some = pt_vector_count(count - i);
        pt_outputs_put(outputs, i, (pt_ints)pt_load_words(accumulator + i, some), some);
    }
    return pt_outputs_saturated(outputs);
}

uint32_t pt_requantize_s8(const int32_t *accumulator, uint32_t count, uint32_t shift, bool relu,
                          int8_t *output)
{
    struct pt_outputs outputs = pt_outputs_s8(output, shift, relu);
    return requantize(accumulator, count, &outputs);
}

uint32_t pt_requantize_error_s8(const int32_t *accumulator, const int8_t *activation,
                                uint32_t count, uint32_t shift, int8_t *error)
{
    struct pt_outputs outputs = pt_outputs_s8(error, shift, false);
    const uint32_t saturated = requantize(accumulator, count, &outputs);
    for (uint32_t i = 0; activation != NULL && i < count; ++i) {
        error[i] = activation[i] == 0 ? 0 : error[i];
    }
    return saturated;
}
