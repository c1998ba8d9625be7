/*
 * Which rows learn (docs/numerics.md, section 16): for each layer with weights, in order, a bit for
 * each of its rows, of a layer rounded up to 4 bytes. Bit o % 8 of byte o / 8 is row o.
 *
 * Without a selection all rows learn.
 */
#ifndef PT_SELECTION_H
#define PT_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/pt_error.h"
#include "nn/pt_model.h"

enum pt_selection_limit { PT_MAX_SELECTION = PT_WITH_AFFINE ? 1024 : 128 };

struct pt_selected {
    uint32_t size; /* of the bits; 0: all rows learn */
    uint8_t bits[PT_MAX_SELECTION];
};

/* Bytes of one layer's bits; 0 without weights. */
static inline uint32_t pt_selection_layer_size(const struct pt_model_layer *layer)
{
    return pt_round4((pt_layer_rows(layer) + 7u) / 8u);
}

/* Where the bits of a layer begin. */
static inline uint32_t pt_selection_offset(const struct pt_model *model, uint32_t layer)
{
    uint32_t offset = 0;
    for (uint32_t l = 0; l < layer; ++l) {
        offset += pt_selection_layer_size(&model->layer[l]);
    }
    return offset;
}

/* The bits of a layer; NULL where all rows learn. */
static inline const uint8_t *pt_selection_bits(const struct pt_selected *selected,
                                               const struct pt_model *model, uint32_t layer)
{
    return selected->size == 0u ? NULL : selected->bits + pt_selection_offset(model, layer);
}

/* Whether a row is among bits that pt_selection_bits gave. */
static inline bool pt_selection_has(const uint8_t *bits, uint32_t row)
{
    return bits == NULL || ((uint32_t)bits[row / 8u] >> row % 8u & 1u) != 0u;
}

/* Rows of a layer that learn. */
uint32_t pt_selection_rows(const struct pt_selected *selected, const struct pt_model *model,
                           uint32_t layer);

/* PT_ERR_ROWS where the network has more rows than a selection has bits; else their bytes. */
int pt_selection_size(const struct pt_model *model, uint32_t *size, struct pt_detail *detail);

/*
 * Takes `size` bytes of bits, or with 0 (`bits` may be NULL) all rows again; refuses, and leaves
 * what is, where they are not as many as the network has, select nothing, or have a bit behind the
 * last row of a layer.
 */
int pt_selection_set(struct pt_selected *selected, const struct pt_model *model,
                     const uint8_t *bits, uint32_t size, struct pt_detail *detail);

/* Selects all rows of the last layer that has weights, and no others. PT_ERR_SELECTION_EMPTY where
 * none has. */
int pt_selection_set_last(struct pt_selected *selected, const struct pt_model *model,
                          struct pt_detail *detail);

#endif
