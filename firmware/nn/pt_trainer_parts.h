/*
 * What the files of the trainer share: where the tensors, weights and scratch of a step lie.
 */
#ifndef PT_TRAINER_PARTS_H
#define PT_TRAINER_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "nn/operators/pt_operator.h"
#include "nn/pt_trainer.h"

uint8_t *pt_part_transient(const struct pt_trainer *trainer, const struct pt_buffer *buffer);

/* The output of a layer, or of PT_INPUT_LAYER the network's input. */
int8_t *pt_part_activation(const struct pt_trainer *trainer, uint32_t layer);

/* The error of that output; NULL where the layer does not learn. */
int8_t *pt_part_error(const struct pt_trainer *trainer, uint32_t layer);

/* NULL where the operation has none. */
uint8_t *pt_part_scratch(const struct pt_trainer *trainer, const struct pt_operation *operation);

/* Of a layer without weights there are none: no scores, and a row has no length. */
struct pt_edges pt_part_edges(const struct pt_trainer *trainer, uint32_t layer);

/* The shift that an error's accumulators get: from their range, or the layer's. */
uint32_t pt_part_error_shift(const struct pt_trainer *trainer, uint32_t layer,
                             const int32_t *accumulator, uint32_t count);

/* dynamic_shift of a tensor whose largest magnitude is `magnitude`. */
uint32_t pt_part_dynamic_shift(uint32_t magnitude);

static inline bool pt_part_dynamic(const struct pt_trainer *trainer)
{
    return trainer->method.kind == PT_NITI_DYNAMIC;
}

static inline const struct pt_operator *pt_part_operator(const struct pt_trainer *trainer,
                                                         uint32_t layer)
{
    return pt_operators[trainer->model.layer[layer].kind];
}

#endif
