/*
 * The operations of a step of an affine network that others do not share (docs/numerics.md,
 * sections 14 and 15).
 */
#ifndef PT_AFFINE_STEP_H
#define PT_AFFINE_STEP_H

#include <stdint.h>

#include "nn/operators/pt_operator.h"
#include "nn/pt_loss.h"
#include "nn/pt_trainer.h"

/* What the outputs of an affine network are. */
static inline struct pt_logits pt_affine_step_logits(const struct pt_model *model)
{
    const struct pt_model_header *header = model->header;
    const struct pt_logits logits = {
        model->layer[header->layers - 1u].zero_out,
        header->logits_multiplier,
        header->logits_exponent,
    };
    return logits;
}

void pt_affine_step_forward(struct pt_trainer *trainer, const struct pt_operation *operation);

/* The error of the logits, once they are predicted from; unfinished. Returns the loss norm. */
uint32_t pt_affine_step_loss(const struct pt_trainer *trainer, const int8_t *logits,
                             int8_t *error);

/* Finishes that error, which may have been cleared: now others can come of it. */
void pt_affine_step_begin_errors(struct pt_trainer *trainer);

/* Gives every input that learns its share of the error. */
void pt_affine_step_error(struct pt_trainer *trainer, const struct pt_operation *operation);

/* Completes what is known of an update: its tensors, the halvings, and the parts of the scratch. */
void pt_affine_step_update(const struct pt_trainer *trainer, uint32_t layer, uint8_t *scratch,
                           struct pt_update *update);

#endif
