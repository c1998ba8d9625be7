/*
 * A head from the means of classes (docs/numerics.md, section 16): under PT_PROTOTYPE each image
 * adds the inputs of the last layer to the sums of its class, and pt_prototypes_make writes weights
 * and factors of that layer from them.
 */
#ifndef PT_PROTOTYPES_H
#define PT_PROTOTYPES_H

#include <stdint.h>

#include "nn/pt_trainer.h"

enum pt_prototype_limit { PT_MAX_PROTOTYPE = 4096, PT_MAX_PROTOTYPE_IMAGES = 65535 };

/* PT_ERR_PROTOTYPE_HEAD where the last layer can have no such head. */
int pt_prototypes_check(const struct pt_model *model, struct pt_detail *detail);

/* Adds the image whose prediction was made last to its class; the only part that is timed. */
void pt_prototypes_add(const struct pt_trainer *trainer);

/*
 * Makes the head: in the blob, or for a frozen one at the start of the arena, where it stays until
 * another model comes. The method must be PT_PROTOTYPE and is over afterwards: the sums are gone.
 * PT_ERR_CLASS_EMPTY, and nothing changes, where a class has no image.
 */
int pt_prototypes_make(struct pt_trainer *trainer, struct pt_detail *detail);

#endif
