#include "nn/operators/pt_operator.h"

#include "kernels/pt_affine.h"
#include "kernels/pt_affine_backward.h"
#include "kernels/pt_conv2d.h"
#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_requantize.h"
#include "nn/operators/pt_geometry.h"
#include "nn/operators/pt_row_update.h"
#include "nn/pt_selection.h"
#ifdef PT_HOST_VECTORS
#include "kernels/vector/pt_quad_gradients.h"
#endif

static bool conv2d_shape_valid(const struct pt_shape *shape)
{
    return pt_geometry_convolves(shape);
}

static bool conv2d_affine_shape_valid(const struct pt_shape *shape)
{
    return pt_geometry_slides(shape, PT_MAX_KERNEL, PT_MAX_STRIDE);
}

static uint32_t conv2d_row_length(const struct pt_shape *shape)
{
    return pt_shape_patch_size(shape);
}

static uint32_t conv2d_terms(const struct pt_shape *shape)
{
    return pt_geometry_terms(shape, pt_shape_patch_size(shape));
}

static uint32_t conv2d_scratch(const struct pt_shape *shape, uint32_t operation, bool dynamic)
{
    const uint32_t row = pt_shape_patch_size(shape);
    switch (operation) {
    case PT_FORWARD:
        return (dynamic ? 4u * pt_shape_out_size(shape) : 0u) + pt_conv2d_forward_scratch(shape);
    case PT_ERROR:
        return 4u * pt_shape_in_size(shape) + pt_conv2d_error_scratch(shape);
    default:
        return 4u * (dynamic ? shape->out_c * row : row) + pt_round4(row) +
               pt_conv2d_gradient_scratch(shape);
    }
}

static uint32_t conv2d_forward_s8(const struct pt_pass *pass, void *scratch)
{
    return pt_conv2d_forward_s8(pass->shape, pass->input, &pass->edges, pass->shift, pass->relu,
                                scratch, pass->output);
}

static void conv2d_forward_s32(const struct pt_pass *pass, void *scratch, int32_t *accumulator)
{
    pt_conv2d_forward_s32(pass->shape, pass->input, &pass->edges, scratch, accumulator);
}

static void conv2d_error_s32(const struct pt_pass *pass, void *scratch, int32_t *accumulator)
{
    pt_conv2d_error_s32(pass->shape, pass->error, &pass->edges, scratch, accumulator);
}

static uint32_t conv2d_pool_scratch(const struct pt_shape *shape, uint32_t operation)
{
    const uint32_t row = pt_shape_patch_size(shape);
    switch (operation) {
    case PT_FORWARD:
        return pt_conv2d_pool_forward_scratch(shape);
    case PT_ERROR:
        return pt_conv2d_pool_error_scratch(shape);
    default:
        return 4u * row + pt_round4(row) + pt_conv2d_pool_gradient_scratch(shape);
    }
}

static uint32_t conv2d_pool_forward_s8(const struct pt_pass *pass, void *scratch)
{
    return pt_conv2d_pool_forward_s8(pass->shape, pass->input, &pass->edges, pass->shift, scratch,
                                     pass->output, pass->places);
}

static uint32_t conv2d_pool_error_s8(const struct pt_pass *pass, void *scratch)
{
    return pt_conv2d_pool_error_s8(pass->shape, pass->error, pass->places, &pass->edges,
                                   pass->relu ? pass->input : NULL, pass->shift, scratch,
                                   pass->input_error);
}

static void conv2d_forward_affine(const struct pt_affine_pass *pass, void *scratch)
{
    pt_affine_conv2d_s8(pass->shape, &pass->affine, &pass->edges, pass->input[0], scratch,
                           pass->output);
}

/* gradient | steps | what the kernel needs */
static void conv2d_update_layout(struct pt_update *update, uint8_t *scratch)
{
    const uint32_t rows = update->dynamic ? update->shape->out_c : 1u;
    update->gradient = (int32_t *)scratch;
    scratch += 4u * rows * update->row_length;
    update->steps = (int8_t *)scratch;
    update->kernel = scratch + pt_round4(update->row_length);
}

static void gradient_row(const struct pt_update *update, uint32_t row, int32_t *gradient)
{
    if (update->places != NULL) {
        pt_conv2d_pool_gradient_row_s32(update->shape, row, update->error, update->places,
                                        update->kernel, gradient);
        return;
    }
    pt_conv2d_gradient_row_s32(update->shape, row, update->input, update->error, update->kernel,
                               gradient);
}

static uint32_t conv2d_update_begin(const struct pt_update *update)
{
    if (update->places != NULL) {
        pt_conv2d_pool_gradient_begin(update->shape, update->input, update->error, update->kernel);
        return 0;
    }
    pt_conv2d_gradient_begin(update->shape, update->input, update->error, update->kernel);
    if (!update->dynamic) {
        return 0;
    }
    int32_t *gradient = update->gradient;
    uint32_t peak = 0;
    for (uint32_t row = 0; row < update->shape->out_c; ++row, gradient += update->row_length) {
        if (pt_selection_has(update->rows, row)) {
            gradient_row(update, row, gradient);
            peak |= pt_max_abs_s32(gradient, update->row_length); /* as many bits as the largest */
        }
    }
    return pt_range_bits(peak);
}

static uint32_t conv2d_update_row(const struct pt_update *update)
{
    const uint32_t count = update->row_length;
#ifdef PT_HOST_VECTORS
    if (!update->dynamic && update->places == NULL && update->rows == NULL &&
        update->update == NULL && pt_quad_gradients_fit(update->shape)) {
        const struct pt_quad_update rows = {
            update->weights, update->scores, update->bitmap, update->halvings, update->shift,
        };
        return pt_quad_gradients_update(update->shape, update->row, &rows);
    }
#endif
    int32_t *gradient = update->gradient;
    if (update->dynamic) {
        gradient += update->row * count;
    } else {
        gradient_row(update, update->row, gradient);
    }
    return pt_row_update(update, gradient);
}

static uint32_t conv2d_affine_scratch(const struct pt_shape *shape, uint32_t operation,
                                      bool dynamic)
{
    (void)dynamic;
    return operation == PT_FORWARD
               ? pt_affine_conv2d_scratch(shape)
               : pt_geometry_backward_bytes(shape, pt_shape_patch_size(shape), operation);
}

static void conv2d_error_affine_s32(const struct pt_affine_error *pass, void *scratch,
                                    int32_t *accumulator)
{
    pt_affine_conv2d_error_s32(pass->shape, pass->error, &pass->edges, scratch, accumulator);
}

static bool conv2d_gradient_affine(const struct pt_update *update, uint32_t row,
                                   int32_t *gradient)
{
    return pt_affine_conv2d_gradient_s32(update->shape, row, update->zero, update->input,
                                         update->error, gradient);
}

const struct pt_operator pt_conv2d_operator = {
    .inputs = 1,
    .least_bits = 30,
    .most_shift = 30,
    .shape_valid = PT_OF_CHAIN(conv2d_shape_valid),
    .affine_shape_valid = PT_OF_AFFINE(conv2d_affine_shape_valid),
    .row_length = conv2d_row_length,
    .terms = conv2d_terms,
    .scratch = PT_OF_CHAIN(conv2d_scratch),
    .forward_s8 = PT_OF_CHAIN(conv2d_forward_s8),
    .forward_s32 = PT_OF_CHAIN(conv2d_forward_s32),
    .error_s32 = PT_OF_CHAIN(conv2d_error_s32),
    .pool_scratch = PT_OF_CHAIN(conv2d_pool_scratch),
    .pool_forward_s8 = PT_OF_CHAIN(conv2d_pool_forward_s8),
    .pool_error_s8 = PT_OF_CHAIN(conv2d_pool_error_s8),
    .affine_scratch = PT_OF_AFFINE(conv2d_affine_scratch),
    .forward_affine = PT_OF_AFFINE(conv2d_forward_affine),
    .error_scale = PT_OF_AFFINE(pt_affine_rows_scale),
    .error_affine_s32 = PT_OF_AFFINE(conv2d_error_affine_s32),
    .gradient_affine = PT_OF_AFFINE(conv2d_gradient_affine),
    .update_layout = PT_OF_CHAIN(conv2d_update_layout),
    .update_begin = PT_OF_CHAIN(conv2d_update_begin),
    .update_row = PT_OF_CHAIN(conv2d_update_row),
};
