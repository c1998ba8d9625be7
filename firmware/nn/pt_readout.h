/*
 * What the network says of an image, beside the class: its logits, and how sure it is.
 *
 * All of it is of the image that pt_trainer_predict was given last, and there until the trainer is
 * called again: the logits lie where activations of the next step will.
 */
#ifndef PT_READOUT_H
#define PT_READOUT_H

#include <stdint.h>

#include "nn/pt_trainer.h"

enum { PT_SURE = 128 };

/* int8 [classes]. */
const int8_t *pt_trainer_logits(const struct pt_trainer *trainer);

/*
 * The class's share of the softmax that the loss works with (docs/numerics.md, sections 4 and 15),
 * in parts of PT_SURE: of ten classes that are alike 13, of one that leaves nothing to the others
 * 128. 0 of a network with more than PT_MAX_CLASSES outputs, which has no such softmax. Uses
 * PT_MAX_CLASSES bytes of stack.
 */
uint32_t pt_trainer_confidence(const struct pt_trainer *trainer);

#endif
