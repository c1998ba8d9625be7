#include "nn/operators/pt_operator.h"

#include "kernels/pt_affine.h"
#include "kernels/pt_affine_backward.h"
#include "nn/operators/pt_geometry.h"

static bool maxpool_affine_shape_valid(const struct pt_shape *shape)
{
    return shape->out_c == shape->in_c && pt_geometry_slides(shape, PT_MAX_WINDOW, PT_MAX_WINDOW);
}

static void maxpool_forward_affine(const struct pt_affine_pass *pass, void *scratch)
{
    (void)scratch;
    pt_affine_maxpool_s8(pass->shape, &pass->affine, pass->input[0], pass->output);
}

static struct pt_error_scale maxpool_error_scale(const struct pt_affine_error *pass,
                                                 uint32_t input)
{
    (void)input;
    return pass->scale;
}

static void maxpool_error_affine_s8(const struct pt_affine_error *pass,
                                    const struct pt_merge *merge)
{
    pt_affine_maxpool_error_s8(pass->shape, pass->input, pass->error, merge);
}

const struct pt_operator pt_maxpool_operator = {
    .inputs = 1,
    .affine_shape_valid = maxpool_affine_shape_valid,
    .forward_affine = maxpool_forward_affine,
    .error_scale = maxpool_error_scale,
    .error_affine_s8 = maxpool_error_affine_s8,
};
