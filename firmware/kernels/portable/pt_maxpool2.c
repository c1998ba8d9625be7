#include "kernels/pt_maxpool2.h"

#include "kernels/pt_memory.h"

void pt_maxpool2_forward_s8(const struct pt_shape *shape, const int8_t *input, int8_t *output)
{
    const uint32_t right = shape->in_c;
    const uint32_t below = (uint32_t)shape->in_w * shape->in_c;
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        const int8_t *window = input + 2u * y * below;
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            for (uint32_t c = 0; c < shape->in_c; ++c) {
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
                *output++ = largest;
                ++window;
            }
            window += right;
        }
    }
}

void pt_maxpool2_error_s8(const struct pt_shape *shape, const int8_t *input,
                          const int8_t *output_error, bool relu, int8_t *input_error)
{
    const uint32_t right = shape->in_c;
    const uint32_t below = (uint32_t)shape->in_w * shape->in_c;
    memset(input_error, 0, pt_shape_in_size(shape));
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        uint32_t at = 2u * y * below;
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            for (uint32_t c = 0; c < shape->in_c; ++c, ++at) {
                const int8_t error = *output_error++;
                if (error == 0) {
                    continue;
                }
                uint32_t first = at;
                if (input[at + right] > input[first]) {
                    first = at + right;
                }
                if (input[at + below] > input[first]) {
                    first = at + below;
                }
                if (input[at + below + right] > input[first]) {
                    first = at + below + right;
                }
                if (!relu || input[first] > 0) {
                    input_error[first] = error;
                }
            }
            at += right;
        }
    }
}
