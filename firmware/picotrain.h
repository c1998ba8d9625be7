/*
 * picotrain: integer-only training on a Cortex-M0+. This header is all that a firmware includes.
 *
 *   #include "picotrain.h"      C11 or C++11; nothing is allocated, nothing is kept beside what the
 *                               caller owns, no floating point, no operating system, no C library
 *                               but memcpy and memset.
 *
 * WHAT THE CALLER HAS
 *   a model      bytes that `picotrain export NETWORK --out model.h` writes (nn/pt_model.h), in
 *                flash or at the start of the arena, aligned to 8
 *   an arena     RAM, aligned to 8: PT_ARENA(name, bytes). How much: `picotrain memory --model
 *                NETWORK` or `picotrain fit NETWORK`; too little is refused with the number
 *   a trainer    struct pt_trainer, some 4 KB, which the library fills
 *
 * WHAT IT CALLS, in this order
 *   pt_trainer_reset(&trainer, arena, bytes)                    once
 *   pt_trainer_open_flash(&trainer, model, size, &why)          checks every byte of the model
 *   pt_trainer_method(&trainer, &method, &why)                  plans the memory
 *   pt_trainer_predict(&trainer, image)                         .prediction; then, if wanted,
 *       pt_trainer_logits, pt_trainer_confidence                of that image
 *   pt_trainer_train(&trainer, image, label, NULL, &why)        one step, batch size 1
 *   The last two as often as there are images. pt_trainer_method again begins anew: with scores
 *   (PT_PRIOT, PT_PRIOT_S) that is the network as it was shipped, whose weights never change.
 *
 * METHODS (nn/pt_method.h)
 *   pt_method_of(PT_PRIOT) has the defaults of `picotrain adapt --method priot`, and its first step
 *   size; pt_trainer_set_mu makes steps smaller while it learns (4, 3, 2).
 *
 *   PT_INFER          nothing learns; least RAM
 *   PT_PRIOT          a score for each edge; the model may stay in flash
 *   PT_PRIOT_S        a score for a share of the edges; less RAM
 *   PT_NITI_STATIC    the weights, with calibrated scales; the model is in the arena
 *   PT_NITI_DYNAMIC   the weights, with scales from each tensor
 *
 * IMAGES
 *   uint8 [height, width, channels]; of an affine network int8 as it takes them (pixel - 128).
 *
 * ERRORS
 *   0, or one of enum pt_error (nn/pt_error.h), which says what its numbers in struct pt_detail
 *   are. After an error nothing has changed but what the function says.
 *
 * TIME
 *   Kernels are timed code: on an RP2040 they belong in SRAM (docs/library.md).
 *
 * KEEPING WHAT WAS LEARNED
 *   nn/pt_store.h: in flash, so that a cut of the power leaves the old state or the new one.
 *   nn/pt_state.h: as bytes, in pieces, to keep where you like.
 *   pt_trainer_seal: weights that NITI has trained open as a model again.
 *
 * MEMORY THAT MUST NOT CHANGE
 *   nn/pt_guard.h: sums over trainer, model and what was learned, to find flipped bits.
 *
 * LESS TO LEARN
 *   pt_trainer_select_last, before pt_trainer_method: the last layer alone learns, in half the time
 *   and a fraction of the RAM; under NITI too with the model in flash.
 *
 * More: nn/pt_selection.h and nn/pt_solver.h (sparse updates), nn/pt_prototypes.h (a new head).
 */
#ifndef PICOTRAIN_H
#define PICOTRAIN_H

#ifdef __cplusplus
extern "C" {
#endif

#include "nn/pt_error.h"
#include "nn/pt_guard.h"
#include "nn/pt_method.h"
#include "nn/pt_model.h"
#include "nn/pt_prototypes.h"
#include "nn/pt_readout.h"
#include "nn/pt_selection.h"
#include "nn/pt_solver.h"
#include "nn/pt_state.h"
#include "nn/pt_store.h"
#include "nn/pt_trainer.h"

#ifdef __cplusplus
}
#endif

/* An arena of so many bytes, rounded up to 8: PT_ARENA(arena, 100 * 1024); then arena is uint8_t *
 * and its size sizeof arena_words. */
#define PT_ARENA(name, bytes)                          \
    static uint64_t name##_words[((bytes) + 7u) / 8u]; \
    static uint8_t *const name = (uint8_t *)name##_words

/* Opens a model that stays where it is, and is never written. */
static inline int pt_trainer_open_flash(struct pt_trainer *trainer, const uint8_t *model,
                                        uint32_t size, struct pt_detail *why)
{
    return pt_trainer_open(trainer, (uint8_t *)(uintptr_t)model, size, true, why);
}

/* A method with the defaults that `picotrain adapt` has (docs/results.md says how they were
 * chosen). */
static inline struct pt_method pt_method_of(enum pt_method_kind kind)
{
    struct pt_method method = {(uint32_t)kind, 0, 0, 100, PT_SELECT_WEIGHT, PT_START_ZERO, 0, 0};
    switch (kind) {
    case PT_NITI_DYNAMIC:
    case PT_NITI_STATIC:
        method.mu = 1;
        break;
    case PT_PRIOT:
        method.mu = 4;
        method.threshold = -16;
        break;
    case PT_PRIOT_S:
        method.mu = 5;
        method.threshold = -16;
        break;
    default:
        break;
    }
    return method;
}

#endif
