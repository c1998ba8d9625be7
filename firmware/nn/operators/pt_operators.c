#include "nn/operators/pt_operator.h"

const struct pt_operator *const pt_operators[PT_LAYER_KINDS] = {
    [PT_CONV2D] = &pt_conv2d_operator,
    [PT_MAXPOOL2] = PT_OF_CHAIN(&pt_maxpool2_operator),
    [PT_LINEAR] = &pt_linear_operator,
    [PT_DEPTHWISE] = PT_OF_AFFINE(&pt_depthwise_operator),
    [PT_MAXPOOL] = PT_OF_AFFINE(&pt_maxpool_operator),
    [PT_AVGPOOL] = PT_OF_AFFINE(&pt_avgpool_operator),
    [PT_ADD] = PT_OF_AFFINE(&pt_add_operator),
};
