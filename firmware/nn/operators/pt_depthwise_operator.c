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

static uint32_t depthwise_affine_scratch(const struct pt_shape *shape, uint32_t operation)
{
    return operation == PT_FORWARD ? pt_affine_depthwise_scratch(shape) : 0u;
}

static void depthwise_forward_affine(const struct pt_affine_pass *pass, void *scratch)
{
    pt_affine_depthwise_s8(pass->shape, &pass->affine, &pass->edges, pass->input[0], scratch,
                              pass->output);
}

const struct pt_operator pt_depthwise_operator = {
    .inputs = 1,
    .least_bits = 30,
    .most_shift = 30,
    .affine_shape_valid = depthwise_affine_shape_valid,
    .row_length = depthwise_row_length,
    .affine_scratch = depthwise_affine_scratch,
    .forward_affine = depthwise_forward_affine,
};
