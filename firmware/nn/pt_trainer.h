/*
 * Training and inference of one model by one method in one arena. Batch size 1, as in the papers.
 *
 *   pt_trainer_open     validate a blob, at the start of the arena or frozen outside of it
 *   pt_trainer_method   plan the memory, place and initialise the state that learns
 *   pt_trainer_train    one image: forward, loss, backward, update
 *   pt_trainer_predict  one image: forward, prediction
 *
 * A training step is a fixed list of operations (struct pt_plan). pt_trainer_begin and
 * pt_trainer_next run the same list one operation at a time, so that a harness can look at each
 * tensor between them.
 *
 * The caller owns struct pt_trainer, the arena and a frozen blob, which is only read; nothing else
 * is touched.
 */
#ifndef PT_TRAINER_H
#define PT_TRAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "nn/pt_error.h"
#include "nn/pt_error_scale.h"
#include "nn/pt_method.h"
#include "nn/pt_model.h"
#include "nn/pt_plan.h"
#include "nn/pt_scores.h"
#include "nn/pt_selection.h"

enum pt_trainer_state { PT_STATE_EMPTY = 0, PT_STATE_MODEL = 1, PT_STATE_READY = 2 };

/* Elements that were clamped, summed until reset (docs/numerics.md, section 9). */
struct pt_saturation {
    uint32_t forward;
    uint32_t error;
    uint32_t update;
};

/* What came of one image. */
struct pt_result {
    uint16_t prediction;
    uint16_t loss_norm; /* sum |loss error|, of easy images too; 0 for a prediction alone */
    uint32_t saturated; /* of all layers and phases */
};

/* One step of pt_trainer_next. */
struct pt_event {
    uint32_t kind; /* enum pt_operation_kind of what ran; PT_DONE: the step is over, nothing ran */
    uint32_t layer;
    uint32_t updates; /* PT_UPDATE: elements put into the sink */
    uint32_t unfinished; /* PT_UPDATE: 1 where rows remain for the next call */
};

struct pt_trainer {
    uint8_t *arena;
    uint32_t arena_size;
    uint32_t state; /* enum pt_trainer_state */
    bool frozen;    /* the blob lies outside the arena, as in flash, and is never written */
    bool fuses;     /* pt_trainer_fuse */
    struct pt_model model;

    /* Of the step; before what is large, so that an instruction reaches it. */
    uint32_t target;      /* label of the image in work */
    int32_t exponent;     /* of the activation computed last */
    uint32_t operation;   /* next of the plan */
    uint32_t row;         /* next row of an update in work */
    uint32_t scored;      /* scores of rows before that one (PRIOT-S) */
    uint32_t row_shift;   /* update shift of the layer in work */
    struct pt_result result;

    struct pt_method method;
    struct pt_plan plan;
    struct pt_scores scores[PT_MAX_LAYERS]; /* where each layer's lie */
    struct pt_saturation saturation[PT_MAX_LAYERS];
    /* Affine: of each layer's error so far. */
    struct pt_error_scale scale[PT_WITH_AFFINE ? PT_MAX_TRAINED_LAYERS : 1];
    int8_t *weights[PT_MAX_LAYERS]; /* where each layer's lie, for the model */
    struct pt_selected selected;    /* for the methods that select rows */
};

/* Empties the trainer; the arena must be aligned to PT_MODEL_ALIGNMENT. */
void pt_trainer_reset(struct pt_trainer *trainer, uint8_t *arena, uint32_t arena_size);

/*
 * Validates the blob of `size` bytes at `blob`: the start of the arena or, if `frozen`, any memory
 * outside of it that is aligned to PT_MODEL_ALIGNMENT and stays as it is. On error the trainer is
 * empty.
 */
int pt_trainer_open(struct pt_trainer *trainer, uint8_t *blob, uint32_t size, bool frozen,
                    struct pt_detail *detail);

/*
 * Plans and initialises `method`; not every affine model can train (pt_model_trains). The weights
 * stay as they are: what NITI has trained, stays trained. Methods that train weights refuse a
 * frozen blob, but under a selection train copies of its weights, which begin anew here. On error
 * the model stays open, without a method.
 */
int pt_trainer_method(struct pt_trainer *trainer, const struct pt_method *method,
                      struct pt_detail *detail);

/*
 * Whether the next method plans convolution, ReLU and pooling as one operation where they follow
 * each other (docs/numerics.md, section 17): less memory, and the same results. Off after
 * pt_trainer_reset.
 */
void pt_trainer_fuse(struct pt_trainer *trainer, bool fuses);

/*
 * Which rows learn, for the next method (pt_selection_set). Ends a method that a selection would
 * change.
 */
int pt_trainer_select(struct pt_trainer *trainer, const uint8_t *bits, uint32_t size,
                      struct pt_detail *detail);

/*
 * The same of the last layer that has weights, alone and whole: the least RAM and time that a
 * method trains with (PT_INFER, PT_PRIOT_S: as above). It holds until the next selection or model.
 */
int pt_trainer_select_last(struct pt_trainer *trainer, struct pt_detail *detail);

/* What the method is planned for. */
struct pt_planned pt_trainer_planned(const struct pt_trainer *trainer);

/*
 * Renews the CRC of the blob in the arena, for when what NITI has trained, or a head that was made,
 * is to be opened as a model of its own: without it pt_trainer_open refuses such a blob as damaged.
 * A state that was kept before (pt_state.h) is one of the model as it was, and is refused then.
 * PT_ERR_STATE without a model; PT_ERR_FROZEN for a blob outside of the arena, which never changes.
 */
int pt_trainer_seal(struct pt_trainer *trainer, struct pt_detail *detail);

/* Changes the step size; state and plan stay. */
int pt_trainer_set_mu(struct pt_trainer *trainer, int32_t mu, struct pt_detail *detail);

/*
 * image uint8 [in_h, in_w, in_c], of an affine model int8 as it stands. State must be
 * PT_STATE_READY. `result` may be NULL. A label that is no class is refused with PT_ERR_LABEL, {0,
 * label, classes}, and nothing is trained or written, *result neither.
 */
int pt_trainer_train(struct pt_trainer *trainer, const uint8_t *image, uint32_t label,
                     struct pt_result *result, struct pt_detail *detail);
struct pt_result pt_trainer_predict(struct pt_trainer *trainer, const uint8_t *image);

/*
 * The same step in pieces, with the same refusal. pt_trainer_next runs the next operation; an
 * update writes its int8 elements to `sink`, in row order, as many whole rows as fit `sink_size`
 * (which must hold one row). Nothing is skipped. With sink NULL an update runs whole.
 */
int pt_trainer_begin(struct pt_trainer *trainer, const uint8_t *image, uint32_t label,
                     struct pt_detail *detail);
struct pt_event pt_trainer_next(struct pt_trainer *trainer, int8_t *sink, uint32_t sink_size);

/*
 * A tensor in memory. Activations, places and errors can be had only right after the operation
 * that made them (pt_trainer_next); weights and scores always.
 */
enum pt_tensor_kind {
    PT_TENSOR_ACTIVATION = 0, /* int8, the output of a layer; PT_INPUT_LAYER: the input */
    PT_TENSOR_ERROR = 1,      /* int8, the error of that output */
    PT_TENSOR_WEIGHTS = 2,    /* int8 [rows, row length] */
    PT_TENSOR_SCORES = 3,     /* int8, one per scored edge */
    PT_TENSOR_BITMAP = 4,     /* uint8 [rows, ceil(row length / 8)], PRIOT-S, or of a selection */
    PT_TENSOR_FISHER = 5,     /* uint64 [rows] */
    PT_TENSOR_SELECTION = 6,  /* the layer's bits; none where all rows learn */
    PT_TENSOR_FACTORS = 7,    /* struct pt_factor [factors] */
    PT_TENSOR_PROTOTYPES = 8, /* of the last layer: int32 [classes, inputs], uint32 [classes] */
    PT_TENSOR_PLACES = 9,     /* of the convolution of a pair: two bits each (section 17) */
};

int pt_trainer_tensor(const struct pt_trainer *trainer, uint32_t kind, uint32_t layer,
                      uint8_t **data, uint32_t *size, struct pt_detail *detail);

/* Where the io window starts in the arena. */
static inline uint32_t pt_trainer_io_offset(const struct pt_trainer *trainer)
{
    return trainer->plan.blob_size + trainer->plan.scores_size + trainer->plan.transient_size;
}

#endif
