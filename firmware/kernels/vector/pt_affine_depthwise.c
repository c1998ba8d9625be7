#include "kernels/vector/pt_windows.h"

/* 16 channels at one position. */
static pt_ints sums_of(const struct pt_shape *shape, const struct pt_window *window,
                       const pt_ints *weights, const int8_t *input, uint32_t count, int32_t zero)
{
    const uint32_t columns = window->column_end - window->column_begin;
    pt_ints sums = {0};
    input += window->input;
    for (uint32_t ky = window->row_begin; ky < window->row_end; ++ky) {
        const pt_ints *weight = weights + ky * shape->kernel_w + window->column_begin;
        const int8_t *from = input;
        for (uint32_t kx = 0; kx < columns; ++kx, from += shape->in_c) {
            sums += weight[kx] * (pt_load_bytes(from, count) - zero);
        }
        input += (uint32_t)shape->in_w * shape->in_c;
    }
    return sums;
}

void pt_affine_depthwise_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                            const struct pt_edges *edges, const int8_t *input, void *scratch,
                            int8_t *output)
{
    struct pt_edges left = *edges;
    pt_ints weights[PT_MOST_TAPS];
    struct pt_scaler scaler;
    for (uint32_t c = 0; c < shape->in_c; c += PT_VECTOR) {
        const uint32_t count = pt_vector_count(shape->in_c - c);
        int8_t *out = output + c;
        pt_window_weights(shape, &left, count, scratch, weights);
        pt_scaler_of(&scaler, affine->factor + c, count);
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t x = 0; x < shape->out_w; ++x, out += shape->in_c) {
                const struct pt_window window = pt_window_at(shape, y, x);
                const pt_ints sums = scaler.bias + sums_of(shape, &window, weights, input + c,
                                                           count, affine->zero_in[0]);
                pt_store_bytes(out, pt_output_ints(affine, &scaler, sums), count);
            }
        }
    }
}
