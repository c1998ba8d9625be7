#include "nn/operators/pt_operator.h"

#include "kernels/pt_affine.h"
#include "nn/operators/pt_geometry.h"

static bool depthwise_affine_shape_valid(const struct pt_shape *shape)
{
    return shape->out_c == shape->in_c && pt_geometry_slides(shape, PT_MAX_KERNEL, PT_MAX_STRIDE);
}

static uint32_t depthwise_row_length(const struct pt_shape *shape)
{
    return (uint32_t)shape->kernel_h * shape->kernel_w;
}

static void depthwise_forward_affine(const struct pt_affine_pass *pass)
{
    pt_affine_depthwise_s8(pass->shape, &pass->affine, pass->weights, pass->input[0],
                           pass->output);
}

const struct pt_operator pt_depthwise_operator = {
    .inputs = 1,
    .least_bits = 30,
    .most_shift = 30,
    .affine_shape_valid = depthwise_affine_shape_valid,
    .row_length = depthwise_row_length,
    .forward_affine = depthwise_forward_affine,
};
