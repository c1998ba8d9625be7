#include "kernels/pt_linear.h"

#include "kernels/pt_requantize.h"

static int32_t dot_s8(const int8_t *a, const int8_t *b, uint32_t length)
{
    int32_t sum = 0;
    for (; length >= 4u; length -= 4u) {
        sum += a[0] * b[0];
        sum += a[1] * b[1];
        sum += a[2] * b[2];
        sum += a[3] * b[3];
        a += 4;
        b += 4;
    }
    for (; length != 0u; --length) {
        sum += *a++ * *b++;
    }
    return sum;
}

void pt_linear_forward_s32(const int8_t *input, const int8_t *weights, uint32_t length,
                           uint32_t rows, int32_t *output)
{
    for (uint32_t row = 0; row < rows; ++row) {
        output[row] = dot_s8(input, weights, length);
        weights += length;
    }
}

uint32_t pt_linear_forward_s8(const int8_t *input, const int8_t *weights, uint32_t length,
                              uint32_t rows, uint32_t shift, bool relu, int8_t *output)
{
    uint32_t saturated = 0;
    for (uint32_t row = 0; row < rows; ++row) {
        output[row] = pt_requantize_s32(dot_s8(input, weights, length), shift, relu, &saturated);
        weights += length;
    }
    return saturated;
}

void pt_linear_accumulate_s32(int32_t factor, const int8_t *vector, uint32_t length,
                              int32_t *accumulator)
{
    for (; length >= 4u; length -= 4u) {
        accumulator[0] += factor * vector[0];
        accumulator[1] += factor * vector[1];
        accumulator[2] += factor * vector[2];
        accumulator[3] += factor * vector[3];
        vector += 4;
        accumulator += 4;
    }
    for (; length != 0u; --length) {
        *accumulator++ += factor * *vector++;
    }
}
