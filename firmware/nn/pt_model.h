/*
 * A network as data: the model blob and its validation.
 *
 * A blob, in the byte order of the device: pt_model_header, `layers` times pt_model_layer, then for
 * each layer in order its weights, [rows, row length] int8, padded to 4 bytes, and its factors
 * (pt_factor). The C structs are the format; the harness reads their layout from DWARF. Weights are
 * used and trained in place, or where a trainer put a copy.
 *
 * All layers are of one form (docs/numerics.md, section 13). What belongs to the other form is 0.
 * In the power-of-two form every layer reads the one before it.
 */
#ifndef PT_MODEL_H
#define PT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/pt_shape.h"
#include "nn/operators/pt_geometry.h"
#include "nn/operators/pt_operator.h"
#include "nn/pt_error.h"
#include "nn/pt_forms.h"

enum pt_model_format {
    PT_MODEL_MAGIC = 0x314d5450, /* "PTM1" */
    PT_MODEL_VERSION = 3,
    PT_MODEL_ALIGNMENT = 8,      /* of the blob in memory */
    PT_INPUT_EXPONENT = -7,
};

enum pt_model_form { PT_POWER_OF_TWO = 0, PT_AFFINE = 1, PT_FORMS };

/* In place of a layer that is read: the network's input; no further input. */
enum pt_special_layer { PT_INPUT_LAYER = 0xff, PT_NO_LAYER = 0xfe };

enum pt_limit {
    PT_MAX_CHAIN_LAYERS = 24,    /* of the power-of-two form */
    PT_MAX_LAYERS = PT_WITH_AFFINE ? 48 : PT_MAX_CHAIN_LAYERS,
    /* Of the affine form, which infers with more. */
    PT_MAX_TRAINED_LAYERS = PT_WITH_AFFINE ? 32 : PT_MAX_CHAIN_LAYERS,
    PT_MAX_CLASSES = 256,        /* of the power-of-two form, or to train */
    PT_MAX_OUTPUTS = 4096,       /* of the affine form */
    PT_MAX_DIMENSION = 4096,
    PT_MAX_TERMS = 1 << 17,      /* of a sum: 127 * 127 * 2^17 + 2^23 < 2^31 */
    PT_MAX_WEIGHTS = 1 << 22,    /* of a layer */
    PT_MAX_SHIFT = 24,
    PT_MAX_RANGE_BITS = 31,
    PT_MIN_EXPONENT = -24,
    PT_MAX_EXPONENT = 8,
    PT_MIN_FACTOR = -31,         /* shift of a factor; the largest is the operator's */
    PT_MAX_POSITIONS = 1 << 16,  /* of a sum that trains affine weights: 127 * 255 * 2^16 < 2^31 */
    PT_MIN_LOGITS_MULTIPLIER = 1 << 15,
    PT_MIN_LOGITS_EXPONENT = -16, /* of the affine form */
    PT_MAX_LOGITS_EXPONENT = 8,
};

struct pt_model_header {
    uint32_t magic;
    uint32_t version;
    uint32_t size;  /* of the whole blob in bytes */
    uint32_t crc32; /* of everything after this field */
    uint16_t layers;
    uint16_t classes;
    uint8_t form; /* enum pt_model_form */
    /* Affine form: a unit of a logit is multiplier * 2^(exponent - 15) nats. */
    int8_t logits_exponent;
    uint16_t logits_multiplier;
};

struct pt_model_layer {
    uint8_t kind; /* enum pt_layer_kind */
    /* Power-of-two form: */
    uint8_t relu; /* 0 or 1; 0 for a layer without weights */
    int8_t weight_exponent;
    uint8_t forward_shift;
    /* Both; affine: 0 for a layer without weights. */
    uint8_t error_shift;
    uint8_t gradient_bits;
    uint8_t score_bits;
    /* Affine form: */
    int8_t zero_in[PT_MAX_INPUTS]; /* 0 where there is no input */
    int8_t zero_out;
    int8_t low;
    int8_t high;
    /* Both: */
    uint8_t input[PT_MAX_INPUTS]; /* earlier layers, or enum pt_special_layer */
    uint16_t factors;             /* affine: one for each row; of add 3, of avgpool 0 or 1 */
    struct pt_shape shape;
    uint16_t reserved;       /* 0 */
    uint32_t weights_offset; /* from the start of the blob; 0 without weights */
    uint32_t weights_size;   /* in bytes, without padding */
    uint32_t factors_offset; /* 0 without factors */
};

/* A validated blob. Points into it; nothing is copied. */
struct pt_model {
    const struct pt_model_header *header;
    const struct pt_model_layer *layer;
    uint8_t *blob;
    int8_t **weights;             /* of each layer: the blob's, or a copy */
    const struct pt_factor *head; /* factors of the last layer's copy; NULL: the blob's */
    int32_t logits_exponent;      /* with the static shifts; affine: 0 */
};

/*
 * Validates blob[0..size) completely (magic, version, CRC, what reads what and of which shape,
 * overflow bounds, weights, factors, head) and fills `model`; on error nothing in `model` may be
 * used and `detail` says why. `blob` must be aligned to PT_MODEL_ALIGNMENT. Reads no byte outside
 * the blob. `weights` is room for PT_MAX_LAYERS pointers, which the model goes on to use.
 */
int pt_model_open(struct pt_model *model, int8_t **weights, uint8_t *blob, uint32_t size,
                  struct pt_detail *detail);

/*
 * Renews the CRC of a blob whose weights or factors were changed in place, so that it opens again:
 * whatever training may make of a valid blob is valid. The blob must be writable.
 */
void pt_model_seal(struct pt_model *model);

/* All weights and factors are those in the blob, as at first. */
void pt_model_forget_copies(struct pt_model *model);

/*
 * Whether an affine model may train (section 15), of the layers with a bit in `weights` the weights
 * themselves; `detail` says why not. Others always may.
 */
int pt_model_trains(const struct pt_model *model, uint32_t weights, struct pt_detail *detail);

/* Of a form that this build has. */
static inline bool pt_form_affine(uint32_t form)
{
    return PT_WITH_AFFINE && (!PT_WITH_CHAIN || form == PT_AFFINE);
}

/* Whether this build has a form. */
static inline bool pt_form_built(uint32_t form)
{
    return form == PT_AFFINE ? PT_WITH_AFFINE : PT_WITH_CHAIN;
}

static inline int8_t *pt_model_weights(const struct pt_model *model, uint32_t layer)
{
    return model->weights[layer];
}

static inline bool pt_model_affine(const struct pt_model *model)
{
    return pt_form_affine(model->header->form);
}

static inline const struct pt_factor *pt_model_factors(const struct pt_model *model,
                                                       uint32_t layer)
{
    if (model->head != NULL && layer + 1u == model->header->layers) {
        return model->head;
    }
    return (const struct pt_factor *)(model->blob + model->layer[layer].factors_offset);
}

/* Output channels, and weights of one output channel; 0 and 0 for a layer without weights. */
static inline uint32_t pt_layer_rows(const struct pt_model_layer *layer)
{
    return pt_operators[layer->kind]->row_length == NULL ? 0u : layer->shape.out_c;
}

static inline uint32_t pt_layer_row_length(const struct pt_model_layer *layer)
{
    const struct pt_operator *op = pt_operators[layer->kind];
    return op->row_length == NULL ? 0u : op->row_length(&layer->shape);
}

/*
 * True where the kind, which must be one, has that form and the geometry is possible: in the
 * limits, and `out` what the kernel makes of `in`.
 */
bool pt_layer_shape_valid(const struct pt_model_layer *layer, uint32_t form);

/*
 * The factor of one row (weights of `index`, which say how large its sum can be), of an operator
 * and a shape that are valid: PT_ERR_FACTOR, PT_ERR_LAYER_RANGE.
 */
int pt_factor_check(const struct pt_operator *op, const struct pt_factor *factor,
                    const struct pt_shape *shape, const int8_t *weights, uint32_t index,
                    uint32_t row, struct pt_detail *detail);

/* The most terms that any of the layer's sums (forward, and error and gradient of the power-of-two
 * form) can have; 0: no sums. */
uint32_t pt_layer_terms(const struct pt_model_layer *layer, uint32_t form);

#endif
