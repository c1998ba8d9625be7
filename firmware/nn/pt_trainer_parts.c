#include "nn/pt_trainer_parts.h"

#include <stddef.h>

#include "kernels/pt_numerics.h"
#include "kernels/pt_requantize.h"

uint8_t *pt_part_transient(const struct pt_trainer *t, const struct pt_buffer *buffer)
{
    return t->arena + t->plan.blob_size + t->plan.scores_size + buffer->offset;
}

int8_t *pt_part_activation(const struct pt_trainer *t, uint32_t layer)
{
    return (int8_t *)pt_part_transient(t, pt_plan_activation(&t->plan, layer));
}

int8_t *pt_part_error(const struct pt_trainer *t, uint32_t layer)
{
    const struct pt_buffer *buffer = pt_plan_error(&t->plan, t->model.header->layers, layer);
    return buffer == NULL ? NULL : (int8_t *)pt_part_transient(t, buffer);
}

uint8_t *pt_part_scratch(const struct pt_trainer *t, const struct pt_operation *operation)
{
    return operation->scratch == PT_NO_BUFFER
               ? NULL
               : pt_part_transient(t, &t->plan.buffer[operation->scratch]);
}

struct pt_edges pt_part_edges(const struct pt_trainer *t, uint32_t layer)
{
    const struct pt_scores *scores = &t->scores[layer];
    const struct pt_edges edges = {
        pt_model_weights(&t->model, layer),
        scores->score,
        scores->bitmap,
        t->method.threshold,
        pt_layer_row_length(&t->model.layer[layer]),
    };
    return edges;
}

uint32_t pt_part_dynamic_shift(uint32_t magnitude)
{
    const uint32_t bits = pt_range_bits(magnitude);
    return bits > 7u ? bits - 7u : 0u;
}

uint32_t pt_part_error_shift(const struct pt_trainer *t, uint32_t layer,
                             const int32_t *accumulator, uint32_t count)
{
    return pt_part_dynamic(t) ? pt_part_dynamic_shift(pt_max_abs_s32(accumulator, count))
                              : t->model.layer[layer].error_shift;
}
