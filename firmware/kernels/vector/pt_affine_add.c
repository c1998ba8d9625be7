#include "kernels/vector/pt_lanes.h"

/* One factor in all lanes. */
static void spread(struct pt_scaler *scaler, const struct pt_affine *affine,
                   const struct pt_factor *factor)
{
    struct pt_factor all[PT_VECTOR];
    for (uint32_t i = 0; i < PT_VECTOR; ++i) {
        all[i] = *factor;
    }
    pt_scaler_of(scaler, affine, all, PT_VECTOR);
}

static pt_ints lifted(const int8_t *from, uint32_t count, int32_t zero,
                      const struct pt_scaler *scaler)
{
    const pt_ints x = (pt_load_bytes(from, count) - zero) * (1 << PT_ADD_HEADROOM);
    return pt_scale_ints(scaler, x, false);
}

void pt_affine_add_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                      const int8_t *a, const int8_t *b, int8_t *output)
{
    const uint32_t size = pt_shape_out_size(shape);
    struct pt_scaler scaler[3];
    for (uint32_t i = 0; i < 3u; ++i) {
        spread(&scaler[i], affine, &affine->factor[i]);
    }
    for (uint32_t i = 0; i < size; i += PT_VECTOR) {
        const uint32_t count = pt_vector_count(size - i);
        const pt_ints sums = lifted(a + i, count, affine->zero_in[0], &scaler[0]) +
                             lifted(b + i, count, affine->zero_in[1], &scaler[1]);
        pt_store_output(output + i, &scaler[2], sums, count);
    }
}
