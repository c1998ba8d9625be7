/*
 * Gradients of convolutions of the power-of-two form, four positions at a time: the input stands
 * ready as quads of patches, and quads of errors that are all zero are left out.
 */
#ifndef PT_QUAD_GRADIENTS_H
#define PT_QUAD_GRADIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_shape.h"

/* Whether this machine does it so for a layer: then `begin` and `row` take the place of
 * pt_conv2d_gradient_begin and pt_conv2d_gradient_row_s32. */
bool pt_quad_gradients_fit(const struct pt_shape *shape);

void pt_quad_gradients_begin(const struct pt_shape *shape, const int8_t *input,
                             const int8_t *error);
void pt_quad_gradients_row(const struct pt_shape *shape, uint32_t row, int32_t *gradient);

/*
 * The update of a row of weights, or, where these are not NULL, of scores: of all edges or of those
 * of a bitmap; as pt_update_weights_s8, pt_update_scores_s8 and pt_update_sparse_scores_s8. It is
 * that of the rows behind it too, a few at a time: theirs then find nothing left to do until the
 * next `begin`. Returns how many saturated.
 */
struct pt_quad_update {
    int8_t *weights;
    int8_t *scores;
    const uint8_t *bitmap;
    uint32_t gradient_shift; /* where there are scores */
    uint32_t shift;
};

uint32_t pt_quad_gradients_update(const struct pt_shape *shape, uint32_t row,
                                  const struct pt_quad_update *update);

#endif
