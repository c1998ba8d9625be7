#include "nn/operators/pt_row_update.h"

#include "kernels/pt_affine_backward.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"
#include "nn/pt_selection.h"

void pt_affine_update_layout(struct pt_update *update, uint8_t *scratch)
{
    update->gradient = (int32_t *)scratch;
    update->steps = (int8_t *)(scratch + 4u * update->row_length);
}

uint32_t pt_affine_update_begin(const struct pt_update *update)
{
    uint32_t peak = 0;
    pt_affine_gradient_begin();
    if (!update->dynamic) {
        return 0;
    }
    /* All rows, of which one is kept at a time: each is made anew when it moves its weights. */
    for (uint32_t row = 0; row < update->shape->out_c; ++row) {
        if (pt_selection_has(update->rows, row) &&
            update->op->gradient_affine(update, row, update->gradient)) {
            const uint32_t highest = pt_max_abs_s32(update->gradient, update->row_length);
            peak = highest > peak ? highest : peak;
        }
    }
    return pt_range_bits(peak);
}

uint32_t pt_affine_update_row(const struct pt_update *update)
{
    const bool any = update->op->gradient_affine(update, update->row, update->gradient);
    if (PT_SKIP_ZEROS && !any && update->update == NULL) {
        return 0; /* no gradient (docs/numerics.md, section 10) */
    }
    return pt_row_update(update, update->gradient);
}

struct pt_error_scale pt_affine_rows_scale(const struct pt_affine_error *pass, uint32_t input)
{
    (void)input;
    return pt_error_scale_times(pass->scale,
                                pt_affine_largest_factor(pass->factor, pass->factors));
}
