/*
 * The operations of a step of an affine network that others do not share (docs/numerics.md,
 * sections 14 and 15).
 */
#ifndef PT_AFFINE_STEP_H
#define PT_AFFINE_STEP_H

#include <stdint.h>

#include "nn/pt_trainer.h"

void pt_affine_step_forward(struct pt_trainer *trainer, const struct pt_operation *operation);

/* The error of the logits, unfinished. Returns the loss norm. */
uint32_t pt_affine_step_loss(struct pt_trainer *trainer);

/* Finishes that error, which may have been cleared: now others can come of it. */
void pt_affine_step_begin_errors(struct pt_trainer *trainer);

/* Gives every input that learns its share of the error. */
void pt_affine_step_error(struct pt_trainer *trainer, const struct pt_operation *operation);

#endif
