#include "kernels/pt_requantize.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_byte_order.h"
#include "kernels/cortex_m0plus/pt_requantize_inner.h"
#include "kernels/pt_memory.h"

uint32_t pt_requantize_s8(const int32_t *accumulator, uint32_t count, uint32_t shift, bool relu,
                          int8_t *output)
{
    uint32_t saturated = 0;
    const uint32_t words = ((uintptr_t)output & 3u) == 0u ? count & ~3u : 0u;
    if (words != 0u) {
        struct pt_requantize_job job = {
            accumulator,
            output,
            output + words,
            shift,
            shift == 0u ? 0 : (int32_t)(1u << (shift - 1u)),
            relu ? 0 : -PT_S8_MAX,
            0,
            0,
        };
        pt_requantize_words(&job);
        saturated = job.above + job.below;
    }
    for (uint32_t i = words; i < count; ++i) {
        output[i] = pt_requantize_s32(accumulator[i], shift, relu, &saturated);
    }
    return saturated;
}

/* 0xff in every byte of `word` that is 0. */
static uint32_t zero_bytes(uint32_t word)
{
    const uint32_t low = 0x7f7f7f7fu;
    const uint32_t zero = ~(((word & low) + low) | word | low); /* 0x80 there */
    return zero | (zero - (zero >> 7));
}

uint32_t pt_requantize_error_s8(const int32_t *accumulator, const int8_t *activation,
                                uint32_t count, uint32_t shift, int8_t *error)
{
    const uint32_t saturated = pt_requantize_s8(accumulator, count, shift, false, error);
    if (activation == NULL) {
        return saturated;
    }
    const int8_t *end = error + count;
    if ((((uintptr_t)activation | (uintptr_t)error) & 3u) == 0u) {
        for (; end - error >= 4; error += 4, activation += 4) {
            const uint32_t word = pt_load_word(error);
            if (word != 0u) {
                pt_store_word(error, word & ~zero_bytes(pt_load_word(activation)));
            }
        }
    }
    for (; error != end; ++error) {
        if (*activation++ == 0) {
            *error = 0;
        }
    }
    return saturated;
}
