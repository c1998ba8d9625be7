#include "nn/operators/pt_operator.h"

#include "kernels/pt_maxpool2.h"
#include "nn/operators/pt_geometry.h"

static bool maxpool2_shape_valid(const struct pt_shape *shape)
{
    return pt_geometry_tiles(shape, 2) && shape->out_h == shape->in_h / 2u &&
           shape->out_w == shape->in_w / 2u && shape->out_c == shape->in_c;
}

static uint32_t maxpool2_forward_s8(const struct pt_pass *pass, void *scratch)
{
    (void)scratch;
    pt_maxpool2_forward_s8(pass->shape, pass->input, pass->output);
    return 0;
}

static void maxpool2_error_s8(const struct pt_pass *pass)
{
    pt_maxpool2_error_s8(pass->shape, pass->input, pass->error, pass->relu, pass->input_error);
}

const struct pt_operator pt_maxpool2_operator = {
    .inputs = 1,
    .shape_valid = maxpool2_shape_valid,
    .forward_s8 = maxpool2_forward_s8,
    .error_s8 = maxpool2_error_s8,
};
