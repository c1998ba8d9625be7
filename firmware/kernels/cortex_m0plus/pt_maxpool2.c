#include "kernels/pt_maxpool2.h"

#include <stdbool.h>

#include "kernels/cortex_m0plus/pt_maxpool2_inner.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_numerics.h"
#include "kernels/pt_skips.h"

static int8_t largest_of(const int8_t *window, uint32_t right, uint32_t below)
{
    int8_t largest = window[0];
    if (window[right] > largest) {
        largest = window[right];
    }
    if (window[below] > largest) {
        largest = window[below];
    }
    if (window[below + right] > largest) {
        largest = window[below + right];
    }
    return largest;
}

/* The larger byte of each pair; bytes are 0..127. */
static uint32_t larger_bytes(uint32_t a, uint32_t b)
{
    const uint32_t reaches = ((a | 0x80808080u) - b) & 0x80808080u; /* a >= b */
    const uint32_t bytes = reaches - (reaches >> 7);                /* 0x7f there */
    return (a & bytes) | (b & ~bytes);
}

/* Four channels of a window, or their one by one maxima where one is negative. */
static uint32_t largest_bytes(const int8_t *window, uint32_t right, uint32_t below)
{
    const uint32_t a = pt_load_word(window);
    const uint32_t b = pt_load_word(window + right);
    const uint32_t c = pt_load_word(window + below);
    const uint32_t d = pt_load_word(window + below + right);
    const uint32_t any = a | b | c | d;
    if (PT_SKIP_ZEROS && any == 0u) {
        return 0u;
    }
    if ((any & 0x80808080u) == 0u) {
        return larger_bytes(larger_bytes(a, b), larger_bytes(c, d));
    }
    uint32_t result = 0;
    for (uint32_t i = 0; i < 4u; ++i) {
        result |= (uint32_t)(uint8_t)largest_of(window + i, right, below) << 8u * i;
    }
    return result;
}

void pt_maxpool2_forward_s8(const struct pt_shape *shape, const int8_t *input, int8_t *output)
{
    const uint32_t right = shape->in_c;
    const uint32_t below = (uint32_t)shape->in_w * shape->in_c;
    const bool words = (((uintptr_t)input | (uintptr_t)output | right) & 3u) == 0u;
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        const int8_t *window = input + 2u * y * below;
        for (uint32_t x = 0; x < shape->out_w; ++x, window += right) {
            const int8_t *end = window + right;
            if (words) {
                for (; window != end; window += 4, output += 4) {
                    pt_store_word(output, largest_bytes(window, right, below));
                }
            } else {
                while (window != end) {
                    *output++ = largest_of(window++, right, below);
                }
            }
        }
    }
}

void pt_maxpool2_error_s8(const struct pt_shape *shape, const int8_t *input,
                          const int8_t *output_error, bool relu, int8_t *input_error)
{
    const uint32_t right = shape->in_c;
    const uint32_t below = (uint32_t)shape->in_w * shape->in_c;
    struct pt_routes_job job = {
        input, output_error, output_error, input_error, right, below, relu ? 1 : -PT_S8_MAX,
    };
    memset(input_error, 0, pt_shape_in_size(shape));
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        const uint32_t at = 2u * y * below;
        job.window = input + at;
        job.input_error = input_error + at;
        job.end = job.error + shape->out_w * right;
        pt_route_errors(&job);
    }
}
