#include "nn/operators/pt_operator.h"

const struct pt_operator *const pt_operators[PT_LAYER_KINDS] = {
    [PT_CONV2D] = &pt_conv2d_operator,
    [PT_MAXPOOL2] = &pt_maxpool2_operator,
    [PT_LINEAR] = &pt_linear_operator,
    [PT_DEPTHWISE] = &pt_depthwise_operator,
    [PT_MAXPOOL] = &pt_maxpool_operator,
    [PT_AVGPOOL] = &pt_avgpool_operator,
    [PT_ADD] = &pt_add_operator,
};
