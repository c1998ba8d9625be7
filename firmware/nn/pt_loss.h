/*
 * Integer cross-entropy, base 2 (NITI; docs/numerics.md, section 4).
 */
#ifndef PT_LOSS_H
#define PT_LOSS_H

#include <stdint.h>

/*
 * error int8 [classes] from logits int8 [classes] with that exponent. classes 2..256, any exponent;
 * buffers must not overlap. Returns the loss norm, sum |error|.
 */
uint32_t pt_loss_error_s8(const int8_t *logits, int32_t exponent, uint32_t classes,
                          uint32_t target, int8_t *error);

/* The first maximum. */
uint32_t pt_argmax_s8(const int8_t *logits, uint32_t classes);

#endif
