/*
 * What the files of the trainer share: where the tensors, weights and scratch of a step lie.
 */
#ifndef PT_TRAINER_PARTS_H
#define PT_TRAINER_PARTS_H

#include <stddef.h>

#include "kernels/pt_numerics.h"
#include "nn/operators/pt_operator.h"
#include "nn/pt_trainer.h"

static inline uint8_t *transient(const struct pt_trainer *t, const struct pt_buffer *buffer)
{
    return t->arena + t->plan.blob_size + t->plan.scores_size + buffer->offset;
}

static inline int8_t *activation(const struct pt_trainer *t, uint32_t layer)
{
    return (int8_t *)transient(t, pt_plan_activation(&t->plan, layer));
}

/* NULL where the layer does not learn. */
static inline int8_t *error_of(const struct pt_trainer *t, uint32_t layer)
{
    const struct pt_buffer *buffer = pt_plan_error(&t->plan, t->model.header->layers, layer);
    return buffer == NULL ? NULL : (int8_t *)transient(t, buffer);
}

static inline uint8_t *scratch_of(const struct pt_trainer *t, const struct pt_operation *operation)
{
    return operation->scratch == PT_NO_BUFFER
               ? NULL
               : transient(t, &t->plan.buffer[operation->scratch]);
}

static inline bool dynamic(const struct pt_trainer *t)
{
    return t->method.kind == PT_NITI_DYNAMIC;
}

static inline uint32_t dynamic_shift(uint32_t magnitude)
{
    const uint32_t bits = pt_range_bits(magnitude);
    return bits > 7u ? bits - 7u : 0u;
}

static inline const struct pt_operator *operator_of(const struct pt_trainer *t, uint32_t layer)
{
    return pt_operators[t->model.layer[layer].kind];
}

/* Of a layer without weights there are none: no scores, and a row has no length. */
static inline struct pt_edges edges_of(const struct pt_trainer *t, uint32_t layer)
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

#endif
