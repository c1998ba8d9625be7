#include "nn/pt_fisher.h"

#include "kernels/pt_numerics.h"
#include "nn/pt_trainer_parts.h"

uint64_t *pt_fisher_of(const struct pt_trainer *t, uint32_t layer)
{
    uint64_t *fisher = (uint64_t *)pt_part_scores(t);
    for (uint32_t l = 0; l < layer; ++l) {
        fisher += pt_layer_rows(&t->model.layer[l]);
    }
    return fisher;
}

uint32_t pt_fisher_halvings(const struct pt_shape *shape)
{
    uint32_t bits = 0;
    while ((pt_shape_positions(shape) - 1u) >> bits > 1023u) {
        ++bits;
    }
    return bits;
}

/* Of a magnitude below 2^26, from two halves of 13 bits: the chip multiplies 32 bits. */
static uint64_t squared(uint32_t magnitude)
{
    const uint32_t low = magnitude & 0x1fffu;
    const uint32_t high = magnitude >> 13;
    const uint32_t middle = high * low; /* twice, 13 bits up */
    return ((uint64_t)(high * high) << 26) + ((uint64_t)middle << 14) + low * low;
}

void pt_fisher_add_s8(const struct pt_shape *shape, const int8_t *output, int32_t zero,
                      const int8_t *error, uint64_t *fisher)
{
    const uint32_t channels = shape->out_c;
    const uint32_t size = pt_shape_out_size(shape);
    const uint32_t halvings = pt_fisher_halvings(shape);
    for (uint32_t row = 0; row < channels; ++row) {
        int32_t sum = 0;
        for (uint32_t i = row; i < size; i += channels) {
            if (error[i] != 0) {
                sum += (output[i] - zero) * error[i];
            }
        }
        const uint64_t before = fisher[row];
        const uint64_t after = before + squared(pt_abs_s32(pt_rhu_s32(sum, halvings)));
        fisher[row] = after < before ? UINT64_MAX : after;
    }
}
