/*
 * Integer cross-entropy (NITI; docs/numerics.md, section 4): powers of two where the exponent of
 * the logits is -6 or more, the second order of the exponential below that.
 */
#ifndef PT_LOSS_H
#define PT_LOSS_H

#include <stdint.h>

/*
 * The least exponent that int32 holds; a method with static scales needs it. Logits with a lesser
 * one are brought to it.
 */
#define PT_LEAST_LOGITS_EXPONENT (-9)

/*
 * error int8 [classes] from logits int8 [classes] with that exponent. classes 2..256, any exponent;
 * buffers must not overlap. Returns the loss norm, sum |error|, at most 382.
 */
uint32_t pt_loss_error_s8(const int8_t *logits, int32_t exponent, uint32_t classes,
                          uint32_t target, int8_t *error);

/* The first maximum. */
uint32_t pt_argmax_s8(const int8_t *logits, uint32_t classes);

#endif
