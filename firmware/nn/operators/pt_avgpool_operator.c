#include "nn/operators/pt_operator.h"

#include "kernels/pt_affine.h"
#include "kernels/pt_affine_backward.h"
#include "nn/operators/pt_geometry.h"

static bool avgpool_affine_shape_valid(const struct pt_shape *shape)
{
    return shape->out_c == shape->in_c && pt_geometry_slides(shape, PT_MAX_WINDOW, PT_MAX_WINDOW);
}

/* A factor holds 1 / n, so the window is the whole input. */
static bool avgpool_factors_valid(const struct pt_shape *shape, uint32_t factors)
{
    const bool whole = shape->kernel_h == shape->in_h && shape->kernel_w == shape->in_w &&
                       shape->stride_h == 1u && shape->stride_w == 1u &&
                       shape->padding_h == 0u && shape->padding_w == 0u && shape->out_h == 1u &&
                       shape->out_w == 1u;
    return factors == 0u || (factors == 1u && whole);
}

static void avgpool_forward_affine(const struct pt_affine_pass *pass, void *scratch)
{
    (void)scratch;
    if (pass->factors != 0u) {
        pt_affine_mean_s8(pass->shape, &pass->affine, pass->input[0], pass->output);
    } else {
        pt_affine_avgpool_s8(pass->shape, &pass->affine, pass->input[0], pass->output);
    }
}

/* A factor holds 1 / n. */
static struct pt_error_scale avgpool_error_scale(const struct pt_affine_error *pass,
                                                 uint32_t input)
{
    const struct pt_shape *shape = pass->shape;
    (void)input;
    if (pass->factors != 0u) {
        return pt_error_scale_times(pass->scale, pass->factor);
    }
    return pt_error_scale_over(
        pt_error_scale_lifted(pass->scale, pt_affine_pool_shift(shape)),
        (uint32_t)shape->kernel_h * shape->kernel_w);
}

static void avgpool_error_affine_s8(const struct pt_affine_error *pass,
                                    const struct pt_merge *merge)
{
    pt_affine_avgpool_error_s8(pass->shape, pass->error, merge);
}

const struct pt_operator pt_avgpool_operator = {
    .inputs = 1,
    .least_bits = 29,
    .most_shift = 30,
    .affine_shape_valid = avgpool_affine_shape_valid,
    .factors_valid = avgpool_factors_valid,
    .forward_affine = avgpool_forward_affine,
    .error_scale = avgpool_error_scale,
    .error_affine_s8 = avgpool_error_affine_s8,
};
