#include "kernels/pt_affine_backward.h"

bool pt_affine_linear_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                   const int8_t *input, const int8_t *error, int32_t *gradient)
{
    const uint32_t length = pt_shape_in_size(shape);
    const int32_t factor = error[row];
    for (uint32_t i = 0; i < length; ++i) {
        gradient[i] = factor * (input[i] - zero);
    }
    return factor != 0;
}
