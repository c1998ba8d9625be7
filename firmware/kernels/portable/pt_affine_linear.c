#include "kernels/pt_affine_inner.h"

void pt_affine_linear_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output)
{
    struct pt_edges left = *edges;
    const uint32_t length = pt_shape_in_size(shape);
    for (uint32_t row = 0; row < shape->out_c; ++row) {
        const int8_t *weights = pt_edges_next_row(&left, scratch);
        const int32_t sum = pt_affine_dot(weights, input, affine->zero_in[0], length);
        output[row] = pt_affine_output(affine->factor[row].bias + sum, &affine->factor[row],
                                       affine);
    }
}
