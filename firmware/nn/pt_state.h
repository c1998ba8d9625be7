/*
 * What a trainer has learned, as bytes: to keep, to move to another device, to go on with.
 *
 *   pt_state_describe   whose state it is, how large, and its CRC
 *   pt_state_read       a piece of it
 *   pt_state_accept     whether a described state is one of this model and method
 *   pt_state_write      a piece of it back
 *
 * The state is, layer by layer and without padding, the scores (PRIOT, PRIOT-S) or the weights
 * (NITI) of those layers of which a row learns; under PT_INFER all weights, which NITI may have
 * trained before; nothing under PT_FISHER and PT_PROTOTYPE. Which edges PRIOT-S scores follows from
 * the method's seed, and mu is the caller's to keep. Pieces may have any size, so a state of any
 * size passes through a small buffer.
 *
 * The trainer must have a method (PT_STATE_READY), and no step of it may be in work.
 */
#ifndef PT_STATE_H
#define PT_STATE_H

#include <stdint.h>

#include "nn/pt_error.h"
#include "nn/pt_trainer.h"

/* Heads a state wherever one lies. */
struct pt_checkpoint {
    uint32_t magic;
    uint32_t model_crc; /* of the blob as it was loaded, and of weights and factors that no longer
                           need be its, but are no state */
    uint32_t method;    /* CRC-32 of struct pt_method without mu and what the method does not use
                           (pt_method_bare), and of the selection, if any */
    uint32_t state_crc;
    uint32_t state_size;
};

enum pt_checkpoint_format { PT_CHECKPOINT_MAGIC = 0x434d5450 /* "PTMC" */ };

/* The field of a refusal with PT_ERR_CHECKPOINT: as in the struct, and one more. */
enum pt_checkpoint_field {
    PT_CHECKPOINT_OF_MAGIC = 0,
    PT_CHECKPOINT_OF_MODEL = 1,
    PT_CHECKPOINT_OF_METHOD = 2,
    PT_CHECKPOINT_OF_CRC = 3,
    PT_CHECKPOINT_OF_SIZE = 4,
    PT_CHECKPOINT_OF_VALUES = 5, /* a weight or score of -128, which no training makes */
};

struct pt_checkpoint pt_state_describe(const struct pt_trainer *trainer);

/* Its state_size, without the time that the CRCs take. */
uint32_t pt_state_size(const struct pt_trainer *trainer);

/* Bytes [offset, offset + size) of the state, which must have them. */
void pt_state_read(const struct pt_trainer *trainer, uint32_t offset, uint8_t *to, uint32_t size);
void pt_state_write(struct pt_trainer *trainer, uint32_t offset, const uint8_t *from,
                    uint32_t size);

/*
 * Whether a state may be written at all: PT_ERR_FROZEN where it is weights that lie in flash,
 * PT_ERR_AFFINE where it is weights of an affine network that the method does not train.
 */
int pt_state_writable(const struct pt_trainer *trainer, struct pt_detail *detail);

/* The same of one layer's weights, learned or not. */
int pt_state_writable_weights(const struct pt_trainer *trainer, uint32_t layer,
                              struct pt_detail *detail);

/*
 * Whether `head` is that of a state of the trainer's model and method: PT_ERR_CHECKPOINT with the
 * first field that is not. Its bytes are checked by state_crc and pt_state_values.
 */
int pt_state_accept(const struct pt_trainer *trainer, const struct pt_checkpoint *head,
                    struct pt_detail *detail);

/*
 * That none of `size` weights or scores is -128, which the kernels rely on: PT_ERR_WEIGHT with
 * {layer, index}, where `layer` is whatever the caller calls them.
 */
int pt_state_values(const uint8_t *values, uint32_t size, uint32_t layer,
                    struct pt_detail *detail);

#endif
