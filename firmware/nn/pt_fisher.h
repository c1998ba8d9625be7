/*
 * Fisher information of rows (docs/numerics.md, section 16): under PT_FISHER nothing learns, and
 * each image adds to D[row] of every layer with weights the square of what the row's outputs would
 * change the loss by.
 */
#ifndef PT_FISHER_H
#define PT_FISHER_H

#include <stdint.h>

#include "kernels/pt_shape.h"
#include "nn/pt_trainer.h"

/* D of a layer with weights, uint64 [rows]. The method is PT_FISHER. */
uint64_t *pt_fisher_of(const struct pt_trainer *trainer, uint32_t layer);

/* Bits that a sum over so many positions loses, before it is squared. */
uint32_t pt_fisher_halvings(const struct pt_shape *shape);

/*
 * fisher uint64 [out_c] of output int8 [out_h, out_w, out_c] with that zero point and its error,
 * masked and not weighted. At most 2^16 positions.
 */
void pt_fisher_add_s8(const struct pt_shape *shape, const int8_t *output, int32_t zero,
                      const int8_t *error, uint64_t *fisher);

#endif
