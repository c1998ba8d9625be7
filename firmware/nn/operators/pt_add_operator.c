#include "nn/operators/pt_operator.h"

#include "kernels/pt_affine.h"
#include "kernels/pt_affine_backward.h"
#include "nn/operators/pt_geometry.h"

static bool add_affine_shape_valid(const struct pt_shape *shape)
{
    return pt_geometry_tiles(shape, 1) && shape->out_h == shape->in_h &&
           shape->out_w == shape->in_w && shape->out_c == shape->in_c;
}

/* Of both inputs and of the output. */
static bool add_factors_valid(const struct pt_shape *shape, uint32_t factors)
{
    (void)shape;
    return factors == 3u;
}

static void add_forward_affine(const struct pt_affine_pass *pass, void *scratch)
{
    (void)scratch;
    pt_affine_add_s8(pass->shape, &pass->affine, pass->input[0], pass->input[1], pass->output);
}

/* The output's factor takes back what the inputs are lifted by. */
static struct pt_error_scale add_error_scale(const struct pt_affine_error *pass, uint32_t input)
{
    const struct pt_error_scale scale = pt_error_scale_times(pass->scale, &pass->factor[input]);
    return pt_error_scale_lifted(pt_error_scale_times(scale, &pass->factor[2]), PT_ADD_HEADROOM);
}

static void add_error_affine_s8(const struct pt_affine_error *pass, const struct pt_merge *merge)
{
    pt_affine_merge_s8(pass->error, pt_shape_out_size(pass->shape), merge);
}

const struct pt_operator pt_add_operator = {
    .inputs = 2,
    .least_bits = 30,
    .most_shift = 0,
    .affine_shape_valid = add_affine_shape_valid,
    .factors_valid = add_factors_valid,
    .forward_affine = add_forward_affine,
    .error_scale = add_error_scale,
    .error_affine_s8 = add_error_affine_s8,
};
