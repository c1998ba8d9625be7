#include "nn/operators/pt_operator.h"

#include "kernels/pt_affine.h"
#include "kernels/pt_affine_backward.h"
#include "nn/operators/pt_geometry.h"
#include "nn/operators/pt_row_update.h"

static bool depthwise_affine_shape_valid(const struct pt_shape *shape)
{
    return shape->out_c == shape->in_c && pt_geometry_slides(shape, PT_MAX_KERNEL, PT_MAX_STRIDE);
}

static uint32_t depthwise_row_length(const struct pt_shape *shape)
{
    return (uint32_t)shape->kernel_h * shape->kernel_w;
}

static void depthwise_forward_affine(const struct pt_affine_pass *pass, void *scratch)
{
    pt_affine_depthwise_s8(pass->shape, &pass->affine, &pass->edges, pass->input[0], scratch,
                              pass->output);
}

static uint32_t depthwise_affine_scratch(const struct pt_shape *shape, uint32_t operation,
                                         bool dynamic)
{
    (void)dynamic;
    return operation == PT_FORWARD
               ? pt_affine_depthwise_scratch(shape)
               : pt_geometry_backward_bytes(shape, depthwise_row_length(shape), operation);
}

static void depthwise_error_affine_s32(const struct pt_affine_error *pass, void *scratch,
                                       int32_t *accumulator)
{
    pt_affine_depthwise_error_s32(pass->shape, pass->error, &pass->edges, scratch, accumulator);
}

static bool depthwise_gradient_affine(const struct pt_update *update, uint32_t row,
                                      int32_t *gradient)
{
    return pt_affine_depthwise_gradient_s32(update->shape, row, update->zero, update->input,
                                            update->error, gradient);
}

const struct pt_operator pt_depthwise_operator = {
    .inputs = 1,
    .least_bits = 30,
    .most_shift = 30,
    .affine_shape_valid = depthwise_affine_shape_valid,
    .row_length = depthwise_row_length,
    .affine_scratch = depthwise_affine_scratch,
    .forward_affine = depthwise_forward_affine,
    .error_scale = pt_affine_rows_scale,
    .error_affine_s32 = depthwise_error_affine_s32,
    .gradient_affine = depthwise_gradient_affine,
};
