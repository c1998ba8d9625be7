/*
 * The memory plan of a whole training step (docs/numerics.md, section 11).
 *
 *   arena: blob | scores | transient | io
 *
 * A frozen blob lies elsewhere; its part of the arena has copies of what was made or is trained on
 * the device: a head from prototypes, and under a selection the weights of layers that NITI trains.
 * Transient buffers share memory where they do not live through a common operation.
 */
#ifndef PT_PLAN_H
#define PT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/pt_error.h"
#include "nn/pt_method.h"
#include "nn/pt_model.h"
#include "nn/pt_selection.h"

enum pt_plan_limit {
    /* Forward, error and update each, and the loss; L + 1 activations, L errors, 3 L - 1 scratches.
     * An affine network that only infers has L forwards and scratches, and the prediction. */
    PT_MAX_OPERATIONS = 3 * PT_MAX_TRAINED_LAYERS,
    PT_MAX_BUFFERS = 5 * PT_MAX_TRAINED_LAYERS,
    PT_NO_BUFFER = 0xff,
    PT_NO_OPERATION = 0xff,
};

struct pt_operation {
    uint8_t kind;    /* enum pt_operation_kind */
    uint8_t layer;
    uint8_t scratch; /* its buffer, or PT_NO_BUFFER */
};

enum pt_memory_kind {
    PT_MEMORY_WEIGHTS = 0,
    PT_MEMORY_SCORES = 1,
    PT_MEMORY_ACTIVATION = 2, /* the output of a layer; PT_INPUT_LAYER: the network's input */
    PT_MEMORY_ERROR = 3,      /* the error of that output */
    PT_MEMORY_SCRATCH = 4,
    PT_MEMORY_PLACES = 5,     /* of the maxima of a pair (docs/numerics.md, section 17) */
};

struct pt_buffer {
    uint32_t offset; /* into the transient part */
    uint32_t size;
    uint8_t kind; /* enum pt_memory_kind */
    uint8_t layer;
    uint8_t first; /* it lives through operations [first, last] */
    uint8_t last;
};

/* How PRIOT-S spreads its scores over the layers (docs/numerics.md, section 6). */
struct pt_allotment {
    uint32_t permille; /* of a layer's edges that are scored, */
    uint32_t least;    /* but at least so many, or all where it has fewer */
};

struct pt_plan {
    uint32_t blob_size;      /* in the arena, rounded up to PT_MODEL_ALIGNMENT; frozen: of the
                                copies */
    uint32_t scores_size;
    uint32_t transient_size;
    uint32_t activations_size; /* all activations, before buffers are overlapped */
    uint32_t io_minimum;       /* for a batch of one */
    uint32_t image_size;
    uint32_t operations;
    uint32_t buffers;
    uint32_t pairs;            /* bits: convolutions that are one operation with their pool */
    struct pt_allotment allotment; /* PRIOT-S */
    struct pt_operation operation[PT_MAX_OPERATIONS];
    struct pt_buffer buffer[PT_MAX_BUFFERS];
};

/* Bytes of an image batch in the io window: images, labels, padding to 4, results of 8 bytes. */
static inline uint32_t pt_batch_size(uint32_t image_size, uint32_t images)
{
    return pt_round4(images * image_size + images) + images * 8u;
}

/* The allotment of a share of all edges, and the edges of a layer that are scored under it. */
struct pt_allotment pt_allot(const struct pt_model *model, uint32_t permille);
uint32_t pt_scored_edges(const struct pt_model_layer *layer,
                         const struct pt_allotment *allotment);

/* What a plan is for. */
struct pt_planned {
    const struct pt_model *model;
    const struct pt_method *method;
    const struct pt_selected *selected;
    bool frozen; /* the model is not in the arena */
    bool fuses;  /* convolutions and their pools are one operation where they can be */
};

/* Whether a row of the layer learns under the method and selection. */
bool pt_planned_learns(const struct pt_planned *planned, uint32_t layer);

/* Bytes of one layer's weights and factors among the copies; 0: the blob's serve. */
uint32_t pt_planned_copy(const struct pt_planned *planned, uint32_t layer);

/* Bytes of one layer's score bitmap row and of its scores with index, for the method. */
uint32_t pt_bitmap_row_size(const struct pt_model_layer *layer);
uint32_t pt_layer_scores_size(const struct pt_planned *planned, uint32_t layer,
                              const struct pt_allotment *allotment);

/*
 * Plans into `arena_size` bytes; PT_ERR_MEMORY with the bytes needed, the bytes there and the
 * largest buffer where it does not fit.
 */
int pt_plan_make(struct pt_plan *plan, const struct pt_planned *planned, uint32_t arena_size,
                 struct pt_detail *detail);

/* Whether a layer of the power-of-two form is a convolution that is one operation with the pool
 * behind it. */
static inline bool pt_plan_pairs(const struct pt_plan *plan, uint32_t layer)
{
    return (plan->pairs >> layer & 1u) != 0u;
}

/* Whether it is the pool of such a pair. */
static inline bool pt_plan_pooled(const struct pt_plan *plan, uint32_t layer)
{
    return layer != 0u && pt_plan_pairs(plan, layer - 1u);
}

/* The output of a layer, or of PT_INPUT_LAYER the network's input; of the convolution of a pair its
 * places. */
static inline const struct pt_buffer *pt_plan_activation(const struct pt_plan *plan,
                                                         uint32_t layer)
{
    return &plan->buffer[(uint8_t)(layer + 1u)];
}

/* The error of the output of any layer; NULL where it does not learn. */
static inline const struct pt_buffer *pt_plan_error(const struct pt_plan *plan,
                                                    uint32_t layers, uint32_t layer)
{
    for (uint32_t i = 2u * layers - layer; i > layers; --i) {
        const struct pt_buffer *buffer = &plan->buffer[i];
        if (i < plan->buffers && buffer->kind == PT_MEMORY_ERROR && buffer->layer == layer) {
            return buffer;
        }
    }
    return NULL;
}

#endif
