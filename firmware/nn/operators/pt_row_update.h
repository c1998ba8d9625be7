/*
 * Updates by a gradient that is stored row by row: those of a convolution, and all of the affine
 * form.
 */
#ifndef PT_ROW_UPDATE_H
#define PT_ROW_UPDATE_H

#include <stdint.h>

#include "kernels/pt_update.h"
#include "nn/operators/pt_operator.h"

/* The row's weights or scores move by its gradient, int32 [row_length]. Returns how many
 * saturated. */
static inline uint32_t pt_row_update(const struct pt_update *update,
                                     const int32_t *gradient)
{
    const uint32_t count = update->row_length;
    if (update->scores == NULL) {
        return pt_update_weights_s8(update->weights, gradient, count, update->shift,
                                    update->update);
    }
    if (update->bitmap == NULL) {
        return pt_update_scores_s8(update->scores, update->weights, gradient, count,
                                   update->halvings, update->shift, update->update);
    }
    return pt_update_sparse_scores_s8(update->scores, update->bitmap, update->weights, gradient,
                                      count, update->halvings, update->shift, update->update);
}

/* Of the affine form, what pt_operator names: gradient | steps. */
void pt_affine_update_layout(struct pt_update *update, uint8_t *scratch);
uint32_t pt_affine_update_begin(const struct pt_update *update);
uint32_t pt_affine_update_row(const struct pt_update *update);

/* The scale of accumulators of a layer with weights. */
struct pt_error_scale pt_affine_rows_scale(const struct pt_affine_error *pass, uint32_t input);

#endif
