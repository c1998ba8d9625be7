#include "kernels/pt_affine_backward.h"
#include "kernels/pt_memory.h"
#include "kernels/vector/pt_gradients.h"
#include "kernels/vector/pt_windows.h"

static bool is_zero(pt_ints x)
{
#ifdef PT_AVX512
    return _mm512_test_epi32_mask((__m512i)x, (__m512i)x) == 0;
#else
    int32_t any = 0;
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        any |= x[i];
    }
    return any == 0;
#endif
}

/* Adds what the errors of a vector of channels at one position owe to the inputs. */
static void add_errors(const struct pt_shape *shape, const struct pt_window *window,
                       pt_ints factor, const pt_ints *weights, uint32_t count, int32_t *sums)
{
    const uint32_t columns = window->column_end - window->column_begin;
    sums += window->input;
    for (uint32_t ky = window->row_begin; ky < window->row_end; ++ky) {
        const pt_ints *weight = weights + ky * shape->kernel_w + window->column_begin;
        int32_t *to = sums;
        for (uint32_t kx = 0; kx < columns; ++kx, to += shape->in_c) {
            const pt_words products = (pt_words)(factor * weight[kx]);
            pt_store_words(to, pt_load_words(to, count) + products, count);
        }
        sums += (uint32_t)shape->in_w * shape->in_c;
    }
}

void pt_affine_depthwise_error_s32(const struct pt_shape *shape, const int8_t *error,
                                   const struct pt_edges *edges, void *scratch, int32_t *sums)
{
    struct pt_edges left = *edges;
    pt_ints weights[PT_MOST_TAPS];
    memset(sums, 0, pt_shape_in_size(shape) * sizeof *sums);
    for (uint32_t c = 0; c < shape->in_c; c += PT_VECTOR) {
        const uint32_t count = pt_vector_count(shape->in_c - c);
        const int8_t *from = error + c;
        pt_window_weights(shape, &left, count, scratch, weights);
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t x = 0; x < shape->out_w; ++x, from += shape->out_c) {
                const pt_ints factor = pt_load_bytes(from, count);
                if (!is_zero(factor)) {
                    const struct pt_window window = pt_window_at(shape, y, x);
                    add_errors(shape, &window, factor, weights, count, sums + c);
                }
            }
        }
    }
}

/* Adds the inputs under one window, times the errors of these channels there. */
static void add_inputs(const struct pt_shape *shape, const struct pt_window *window,
                       pt_ints factor, const int8_t *input, int32_t zero, uint32_t count,
                       pt_ints *sums)
{
    const uint32_t columns = window->column_end - window->column_begin;
    input += window->input;
    for (uint32_t ky = window->row_begin; ky < window->row_end; ++ky) {
        pt_ints *to = sums + ky * shape->kernel_w + window->column_begin;
        const int8_t *from = input;
        for (uint32_t kx = 0; kx < columns; ++kx, from += shape->in_c) {
            to[kx] += factor * (pt_load_bytes(from, count) - zero);
        }
        input += (uint32_t)shape->in_w * shape->in_c;
    }
}

/* The gradients of the channels that are next. */
static void make_gradients(const struct pt_shape *shape, int32_t zero, const int8_t *input,
                           const int8_t *error)
{
    const uint32_t taps = (uint32_t)shape->kernel_h * shape->kernel_w;
    const uint32_t count = pt_gradients.rows;
    pt_ints sums[PT_MOST_TAPS];
    pt_ints any = {0};
    for (uint32_t tap = 0; tap < taps; ++tap) {
        sums[tap] = pt_ints_all(0);
    }
    input += pt_gradients.first;
    error += pt_gradients.first;
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x, error += shape->out_c) {
            const pt_ints factor = pt_load_bytes(error, count);
            if (!is_zero(factor)) {
                const struct pt_window window = pt_window_at(shape, y, x);
                any |= factor;
                add_inputs(shape, &window, factor, input, zero, count, sums);
            }
        }
    }
    for (uint32_t lane = 0; lane < count; ++lane) {
        int32_t *gradient = pt_gradients_at(taps, lane);
        for (uint32_t tap = 0; tap < taps; ++tap) {
            gradient[tap] = sums[tap][lane];
        }
        pt_gradients.any[lane] = any[lane] != 0;
    }
}

bool pt_affine_depthwise_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                      const int8_t *input, const int8_t *error,
                                      int32_t *gradient)
{
    const uint32_t taps = (uint32_t)shape->kernel_h * shape->kernel_w;
    if (!pt_gradients_have(row)) {
        pt_gradients_next(shape->in_c, row, taps);
        make_gradients(shape, zero, input, error);
    }
    memcpy(gradient, pt_gradients_at(taps, row - pt_gradients.first), taps * sizeof *gradient);
    return pt_gradients.any[row - pt_gradients.first];
}
