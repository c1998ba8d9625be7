#include "kernels/pt_affine_inner.h"
#include "kernels/pt_overlap.h"

/* Of one channel: the largest element of a window, or the sum of them. */
static int32_t largest(const struct pt_shape *shape, const struct pt_overlap *window,
                       const int8_t *input)
{
    int32_t found = INT8_MIN;
    for (uint32_t k = window->row_begin; k < window->row_end; ++k) {
        for (uint32_t i = 0; i < window->length; i += shape->in_c) {
            found = input[i] > found ? input[i] : found;
        }
        input += (uint32_t)shape->in_w * shape->in_c;
    }
    return found;
}

static int32_t total(const struct pt_shape *shape, const struct pt_overlap *window,
                     const int8_t *input)
{
    int32_t sum = 0;
    for (uint32_t k = window->row_begin; k < window->row_end; ++k) {
        for (uint32_t i = 0; i < window->length; i += shape->in_c) {
            sum += input[i];
        }
        input += (uint32_t)shape->in_w * shape->in_c;
    }
    return sum;
}

void pt_affine_maxpool_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                          const int8_t *input, int8_t *output)
{
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            const struct pt_overlap window = pt_overlap_at(shape, y, x);
            const int8_t *from = input + window.input_start;
            for (uint32_t c = 0; c < shape->in_c; ++c) {
                *output++ = pt_affine_bound(largest(shape, &window, from + c), affine);
            }
        }
    }
}

/* Rounded half away from zero, so the magnitude is divided. */
static int32_t mean(int32_t sum, uint32_t count)
{
    const uint32_t magnitude = (pt_abs_s32(sum) + count / 2u) / count;
    return sum < 0 ? -(int32_t)magnitude : (int32_t)magnitude;
}

void pt_affine_avgpool_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                          const int8_t *input, int8_t *output)
{
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x) {
            const struct pt_overlap window = pt_overlap_at(shape, y, x);
            const uint32_t rows = window.row_end - window.row_begin;
            const uint32_t count = rows * (window.length / shape->in_c);
            const int8_t *from = input + window.input_start;
            for (uint32_t c = 0; c < shape->in_c; ++c) {
                const int32_t sum = total(shape, &window, from + c);
                *output++ = pt_affine_bound(mean(sum, count), affine);
            }
        }
    }
}

void pt_affine_mean_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                       const int8_t *input, int8_t *output)
{
    const struct pt_overlap whole = pt_overlap_at(shape, 0, 0);
    const int32_t zeros = (int32_t)shape->in_h * shape->in_w * affine->zero_in[0];
    for (uint32_t c = 0; c < shape->in_c; ++c) {
        const int32_t sum = total(shape, &whole, input + c);
        output[c] = pt_affine_output(sum - zeros, affine->factor, affine);
    }
}
