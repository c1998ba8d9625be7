#include "kernels/pt_affine_inner.h"

static int32_t lifted(int32_t x, int32_t zero, const struct pt_factor *factor)
{
    return pt_scale_s32((x - zero) * (1 << PT_ADD_HEADROOM), factor->multiplier, factor->shift);
}

void pt_affine_add_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                      const int8_t *a, const int8_t *b, int8_t *output)
{
    const uint32_t count = pt_shape_out_size(shape);
    const struct pt_factor *factor = affine->factor;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t sum = lifted(a[i], affine->zero_in[0], &factor[0]) +
                            lifted(b[i], affine->zero_in[1], &factor[1]);
        output[i] = pt_affine_output(sum, &factor[2], affine);
    }
}
