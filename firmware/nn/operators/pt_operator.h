/*
 * What a kind of layer is: one struct pt_operator for each, in a file of its own beside this one.
 * Model, plan and trainer know layers by these functions alone.
 *
 * A new kind is a file here, an entry of enum pt_layer_kind and one of pt_operators.c. Functions
 * that run between steps, never within one, are named as the linker scripts name them
 * (KIND_..._valid, KIND_terms, KIND_scratch): they stay in flash.
 */
#ifndef PT_OPERATOR_H
#define PT_OPERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/pt_affine.h"
#include "kernels/pt_edges.h"
#include "kernels/pt_merge.h"
#include "kernels/pt_shape.h"
#include "nn/pt_error_scale.h"
#include "nn/pt_forms.h"

enum pt_layer_kind {
    PT_CONV2D = 1,
    PT_MAXPOOL2 = 2, /* of the power-of-two form alone */
    PT_LINEAR = 3,
    PT_DEPTHWISE = 4, /* of the affine form alone, like those below */
    PT_MAXPOOL = 5,
    PT_AVGPOOL = 6,
    PT_ADD = 7,
    PT_LAYER_KINDS
};

enum { PT_MAX_INPUTS = 2 };

enum pt_operation_kind { PT_FORWARD = 0, PT_LOSS = 1, PT_ERROR = 2, PT_UPDATE = 3, PT_DONE = 4 };

/* One layer's forward or error operation. */
struct pt_pass {
    const struct pt_shape *shape;
    struct pt_edges edges; /* of a layer without weights: nothing to read */
    const int8_t *input;
    int8_t *output;        /* forward */
    const int8_t *error;   /* error: that of the output */
    int8_t *input_error;   /* error */
    uint8_t *places;       /* of a pair: of the maxima that are its output */
    uint32_t shift;        /* forward; error, */
    bool dynamic;          /* or, error: it comes from the range of the accumulators */
    bool relu;             /* forward: the layer has one; error: the layer below has one */
};

/* One layer's update, which goes row by row. */
struct pt_update {
    const struct pt_operator *op;
    const struct pt_shape *shape;
    const int8_t *input;
    const int8_t *error; /* of the output */
    const uint8_t *places; /* of a pair; NULL: it is none */
    int32_t zero;        /* affine: of the input */
    uint32_t row_length;
    uint32_t halvings;   /* of the gradient, before it is multiplied with a weight */
    uint32_t shift;
    bool dynamic;        /* the shift comes from the range of the layer's gradient */
    /* Parts of the scratch: */
    int32_t *gradient;   /* of a row, of all rows if `dynamic`; not every operator stores it */
    int8_t *steps;       /* room for what the row's edges move by */
    void *kernel;
    /* The row: */
    uint32_t row;
    const uint8_t *rows; /* bits of those that learn (pt_selection.h); NULL: all */
    int8_t *weights;
    int8_t *scores;      /* NULL: the weights learn */
    const uint8_t *bitmap;
    int8_t *update;      /* receives the steps; NULL: nobody wants them */
};

/* One layer's forward operation in the affine form. */
struct pt_affine_pass {
    const struct pt_shape *shape;
    struct pt_affine affine;
    uint32_t factors;
    struct pt_edges edges; /* of a layer without weights: nothing to read */
    const int8_t *input[PT_MAX_INPUTS];
    int8_t *output;
};

/* One layer's error operation in the affine form. */
struct pt_affine_error {
    const struct pt_shape *shape;
    const struct pt_factor *factor;
    uint32_t factors;
    struct pt_edges edges; /* of a layer without weights: nothing to read */
    const int8_t *input;   /* the first */
    const int8_t *error;   /* of the output, */
    struct pt_error_scale scale; /* with this scale */
};

/* Functions that a kind has no use for, or that a form alone has which is left out, are NULL. */
struct pt_operator {
    bool head;          /* it may end a network that trains */
    uint8_t inputs;     /* tensors that it reads */
    uint8_t least_bits; /* affine: a multiplier is 0 or at least 2^least_bits */
    int8_t most_shift;  /* affine */

    /* True where `out` is what the layer makes of `in`; extents are in the limits already. For each
     * form that the kind has. */
    bool (*shape_valid)(const struct pt_shape *shape);
    bool (*affine_shape_valid)(const struct pt_shape *shape);

    /* Affine: true where a layer of that shape can have so many factors. NULL: one for each row of
     * weights. */
    bool (*factors_valid)(const struct pt_shape *shape, uint32_t factors);

    /* Weights of one output channel. NULL: the kind has no weights, and no ReLU of its own. */
    uint32_t (*row_length)(const struct pt_shape *shape);

    /* The most terms that any of its sums (forward, error, gradient) can have. */
    uint32_t (*terms)(const struct pt_shape *shape);

    /* Bytes of scratch of an operation (docs/numerics.md, section 11), in each form that the kind
     * has. NULL: none. */
    uint32_t (*scratch)(const struct pt_shape *shape, uint32_t operation, bool dynamic);
    uint32_t (*affine_scratch)(const struct pt_shape *shape, uint32_t operation, bool dynamic);

    /* Output int8. Returns how many elements saturated. */
    uint32_t (*forward_s8)(const struct pt_pass *pass, void *scratch);

    /* Accumulators of the output, for scales that come from their range. NULL: forward_s8 has none
     * and serves all methods. */
    void (*forward_s32)(const struct pt_pass *pass, void *scratch, int32_t *accumulator);

    /* Accumulators of the input's error; or that error itself, ReLU applied, where it has none. */
    void (*error_s32)(const struct pt_pass *pass, void *scratch, int32_t *accumulator);
    void (*error_s8)(const struct pt_pass *pass);

    /* A layer and the maxpool2 behind it as one operation, a pair (docs/numerics.md, section 17):
     * outputs and errors are those of the pool. All three, or none. Return how many elements
     * saturated. */
    uint32_t (*pool_scratch)(const struct pt_shape *shape, uint32_t operation);
    uint32_t (*pool_forward_s8)(const struct pt_pass *pass, void *scratch);
    uint32_t (*pool_error_s8)(const struct pt_pass *pass, void *scratch);

    /* Affine. */
    void (*forward_affine)(const struct pt_affine_pass *pass, void *scratch);

    /* Affine: the scale of what the error operation gives to an input. Of accumulators before they
     * are shifted. */
    struct pt_error_scale (*error_scale)(const struct pt_affine_error *pass, uint32_t input);

    /* Affine: accumulators of the input's error; or, without those, what each input gets. */
    void (*error_affine_s32)(const struct pt_affine_error *pass, void *scratch,
                             int32_t *accumulator);
    void (*error_affine_s8)(const struct pt_affine_error *pass, const struct pt_merge *merge);

    /* Affine: the gradient of a row. Returns false where it is all 0 because the row has no
     * error. */
    bool (*gradient_affine)(const struct pt_update *update, uint32_t row, int32_t *gradient);

    /* Divides the scratch among the parts that struct pt_update names. */
    void (*update_layout)(struct pt_update *update, uint8_t *scratch);

    /* Before the first row. If `dynamic`, returns the range bits of the layer's gradient. */
    uint32_t (*update_begin)(const struct pt_update *update);

    /* One row, if it is one that learns. Returns how many elements saturated. */
    uint32_t (*update_row)(const struct pt_update *update);
};

/* By enum pt_layer_kind; NULL for what is none, or of a form that is left out (pt_forms.h). */
extern const struct pt_operator *const pt_operators[PT_LAYER_KINDS];

/* NULL for an unknown kind. */
static inline const struct pt_operator *pt_operator_of(uint32_t kind)
{
    return kind < PT_LAYER_KINDS ? pt_operators[kind] : NULL;
}

extern const struct pt_operator pt_conv2d_operator;
extern const struct pt_operator pt_maxpool2_operator;
extern const struct pt_operator pt_linear_operator;
extern const struct pt_operator pt_depthwise_operator;
extern const struct pt_operator pt_maxpool_operator;
extern const struct pt_operator pt_avgpool_operator;
extern const struct pt_operator pt_add_operator;

#endif
