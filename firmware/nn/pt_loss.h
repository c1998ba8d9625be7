/*
 * Integer cross-entropy (NITI; docs/numerics.md, section 4): powers of two where the exponent of
 * the logits is large enough, the second order of the exponential below that.
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
 * error int8 [classes] from logits int8 [classes] with that exponent, of which `most` is the
 * largest. classes 2..256, any exponent; buffers must not overlap. Returns the loss norm,
 * sum |error|, at most 382.
 */
uint32_t pt_loss_error_s8(const int8_t *logits, int32_t exponent, int32_t most, uint32_t classes,
                          uint32_t target, int8_t *error);

/* What a logit of an affine network is: (v - zero) * multiplier * 2^(exponent - 15) nats. */
struct pt_logits {
    int32_t zero;
    uint32_t multiplier; /* 2^15..2^16 - 1 */
    int32_t exponent;    /* -16..8 */
};

/* The same of an affine network (docs/numerics.md, section 15). */
uint32_t pt_loss_affine_error_s8(const int8_t *logits, const struct pt_logits *of, int32_t most,
                                 uint32_t classes, uint32_t target, int8_t *error);

/* The first maximum. */
uint32_t pt_argmax_s8(const int8_t *logits, uint32_t classes);

#endif
