#include "nn/operators/pt_operator.h"

#include "kernels/pt_affine.h"
#include "kernels/pt_affine_backward.h"
#include "kernels/pt_linear.h"
#include "kernels/pt_numerics.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"
#include "kernels/pt_update.h"
#include "nn/operators/pt_geometry.h"
#include "nn/operators/pt_row_update.h"
#include "nn/pt_selection.h"

static bool linear_shape_valid(const struct pt_shape *shape)
{
    return pt_geometry_tiles(shape, 1) && shape->out_h == 1u && shape->out_w == 1u;
}

static uint32_t linear_row_length(const struct pt_shape *shape)
{
    return pt_shape_in_size(shape);
}

static uint32_t linear_terms(const struct pt_shape *shape)
{
    return pt_geometry_terms(shape, pt_shape_in_size(shape));
}

static uint32_t linear_scratch(const struct pt_shape *shape, uint32_t operation, bool dynamic)
{
    const uint32_t row = pt_shape_in_size(shape);
    switch (operation) {
    case PT_FORWARD:
        return (dynamic ? 4u * shape->out_c : 0u) + pt_linear_forward_scratch(row);
    case PT_ERROR:
        return 4u * row + pt_linear_error_scratch(row);
    default:
        return pt_round4(row) + pt_update_linear_scratch(row);
    }
}

static uint32_t linear_forward_s8(const struct pt_pass *pass, void *scratch)
{
    return pt_linear_forward_s8(pass->input, &pass->edges, pass->shape->out_c, pass->shift,
                                pass->relu, scratch, pass->output);
}

static void linear_forward_s32(const struct pt_pass *pass, void *scratch, int32_t *accumulator)
{
    pt_linear_forward_s32(pass->input, &pass->edges, pass->shape->out_c, scratch, accumulator);
}

/* Where ReLU lets no error through its sum matters only to the range, and if it saturates. */
static const int8_t *needed_of(const struct pt_pass *pass)
{
    uint32_t magnitudes = 0;
    if (!pass->relu || pass->dynamic) {
        return NULL;
    }
    for (uint32_t row = 0; row < pass->shape->out_c; ++row) {
        magnitudes += pt_abs_s32(pass->error[row]);
    }
    return magnitudes <= 1u << pass->shift ? pass->input : NULL;
}

static void linear_error_s32(const struct pt_pass *pass, void *scratch, int32_t *accumulator)
{
    pt_linear_error_s32(pass->error, &pass->edges, pass->shape->out_c, needed_of(pass), scratch,
                        accumulator);
}

static void linear_forward_affine(const struct pt_affine_pass *pass, void *scratch)
{
    pt_affine_linear_s8(pass->shape, &pass->affine, &pass->edges, pass->input[0], scratch,
                           pass->output);
}

/* steps | what the kernel needs; the gradient has rank one and is never stored. */
static void linear_update_layout(struct pt_update *update, uint8_t *scratch)
{
    update->steps = (int8_t *)scratch;
    update->kernel = scratch + pt_round4(update->row_length);
}

/* The largest error of a row that learns. */
static uint32_t error_peak(const struct pt_update *update)
{
    uint32_t peak = 0;
    for (uint32_t row = 0; row < update->shape->out_c; ++row) {
        if (pt_selection_has(update->rows, row)) {
            const uint32_t error = pt_abs_s32(update->error[row]);
            peak = error > peak ? error : peak;
        }
    }
    return peak;
}

static uint32_t linear_update_begin(const struct pt_update *update)
{
    pt_update_linear_begin(update->input, update->row_length, update->kernel);
    if (!update->dynamic) {
        return 0;
    }
    return pt_range_bits(error_peak(update) *
                         pt_max_abs_s8(update->input, update->row_length));
}

static uint32_t linear_update_row(const struct pt_update *update)
{
    const uint32_t count = update->row_length;
    const int32_t error = update->error[update->row];
    if (PT_SKIP_ZEROS && error == 0 && update->update == NULL) {
        return 0; /* no gradient (docs/numerics.md, section 10) */
    }
    if (update->scores == NULL) {
        return pt_update_linear_weights_s8(update->weights, update->input, error, count,
                                           update->shift, update->kernel, update->update);
    }
    if (update->bitmap == NULL) {
        return pt_update_linear_scores_s8(update->scores, update->weights, update->input, error,
                                          count, update->shift, update->kernel, update->update);
    }
    return pt_update_linear_sparse_scores_s8(update->scores, update->bitmap, update->weights,
                                             update->input, error, count, update->shift,
                                             update->update);
}

static uint32_t linear_affine_scratch(const struct pt_shape *shape, uint32_t operation,
                                      bool dynamic)
{
    (void)dynamic;
    return operation == PT_FORWARD
               ? pt_affine_linear_scratch(shape)
               : pt_geometry_backward_bytes(shape, pt_shape_in_size(shape), operation);
}

static void linear_error_affine_s32(const struct pt_affine_error *pass, void *scratch,
                                    int32_t *accumulator)
{
    pt_linear_error_s32(pass->error, &pass->edges, pass->shape->out_c, NULL, scratch,
                        accumulator);
}

static bool linear_gradient_affine(const struct pt_update *update, uint32_t row,
                                   int32_t *gradient)
{
    return pt_affine_linear_gradient_s32(update->shape, row, update->zero, update->input,
                                         update->error, gradient);
}

const struct pt_operator pt_linear_operator = {
    .head = true,
    .inputs = 1,
    .least_bits = 30,
    .most_shift = 30,
    .shape_valid = PT_OF_CHAIN(linear_shape_valid),
    .affine_shape_valid = PT_OF_AFFINE(linear_shape_valid),
    .row_length = linear_row_length,
    .terms = linear_terms,
    .scratch = PT_OF_CHAIN(linear_scratch),
    .forward_s8 = PT_OF_CHAIN(linear_forward_s8),
    .forward_s32 = PT_OF_CHAIN(linear_forward_s32),
    .error_s32 = PT_OF_CHAIN(linear_error_s32),
    .affine_scratch = PT_OF_AFFINE(linear_affine_scratch),
    .forward_affine = PT_OF_AFFINE(linear_forward_affine),
    .error_scale = PT_OF_AFFINE(pt_affine_rows_scale),
    .error_affine_s32 = PT_OF_AFFINE(linear_error_affine_s32),
    .gradient_affine = PT_OF_AFFINE(linear_gradient_affine),
    .update_layout = PT_OF_CHAIN(linear_update_layout),
    .update_begin = PT_OF_CHAIN(linear_update_begin),
    .update_row = PT_OF_CHAIN(linear_update_row),
};
