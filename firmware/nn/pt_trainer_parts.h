/*
 * What the files of the trainer share: where the tensors, weights and scratch of a step lie. All
 * inline: a call costs each operation more than what it looks up.
 */
#ifndef PT_TRAINER_PARTS_H
#define PT_TRAINER_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/pt_numerics.h"
#include "kernels/pt_requantize.h"
#ifdef PT_HOST_VECTORS
#include "kernels/vector/pt_kept.h"
#endif
#include "nn/operators/pt_operator.h"
#include "nn/pt_trainer.h"

static inline uint8_t *pt_part_transient(const struct pt_trainer *t,
                                         const struct pt_buffer *buffer)
{
    return t->arena + t->plan.blob_size + t->plan.scores_size + buffer->offset;
}

/* The output of a layer, or of PT_INPUT_LAYER the network's input. */
static inline int8_t *pt_part_activation(const struct pt_trainer *t, uint32_t layer)
{
    return (int8_t *)pt_part_transient(t, pt_plan_activation(&t->plan, layer));
}

/* Scores begin here, or what PT_FISHER and PT_PROTOTYPE have in their place. */
static inline uint8_t *pt_part_scores(const struct pt_trainer *t)
{
    return t->arena + t->plan.blob_size;
}

/* NULL where the operation has none. */
static inline uint8_t *pt_part_scratch(const struct pt_trainer *t,
                                       const struct pt_operation *operation)
{
    return operation->scratch == PT_NO_BUFFER
               ? NULL
               : pt_part_transient(t, &t->plan.buffer[operation->scratch]);
}

/* Of a layer without weights there are none: no scores, and a row has no length. */
static inline struct pt_edges pt_part_edges(const struct pt_trainer *t, uint32_t layer)
{
    const struct pt_scores *scores = &t->scores[layer];
    const struct pt_edges edges = {
        pt_model_weights(&t->model, layer),
        scores->score,
        scores->bitmap,
        t->method.threshold,
        pt_layer_row_length(&t->model.layer[layer]),
    };
#ifdef PT_HOST_VECTORS
    return pt_kept_edges(edges, pt_layer_rows(&t->model.layer[layer]));
#else
    return edges;
#endif
}

static inline bool pt_part_dynamic(const struct pt_trainer *t)
{
    return t->method.kind == PT_NITI_DYNAMIC;
}

/* dynamic_shift of a tensor whose largest magnitude is `magnitude`. */
static inline uint32_t pt_part_dynamic_shift(uint32_t magnitude)
{
    const uint32_t bits = pt_range_bits(magnitude);
    return bits > 7u ? bits - 7u : 0u;
}

/* The shift that an error's accumulators get: from their range, or the layer's. */
static inline uint32_t pt_part_error_shift(const struct pt_trainer *t,
                                           const struct pt_model_layer *layer,
                                           const int32_t *accumulator, uint32_t count)
{
    return pt_part_dynamic(t) ? pt_part_dynamic_shift(pt_max_abs_s32(accumulator, count))
                              : layer->error_shift;
}

/* Halvings of a gradient, so that G * w stays in int32: up to `most` positions need none. */
static inline uint32_t pt_part_halvings(const struct pt_shape *shape, uint32_t most)
{
    uint32_t shift = 0;
    while (most << shift < pt_shape_positions(shape)) {
        ++shift;
    }
    return shift;
}

static inline const struct pt_operator *pt_part_operator(const struct pt_trainer *t,
                                                         uint32_t layer)
{
    return pt_operators[t->model.layer[layer].kind];
}

#endif
