/*
 * Geometry of one layer; the same bytes in the model blob and in the kernels.
 */
#ifndef PT_SHAPE_H
#define PT_SHAPE_H

#include <stdint.h>

/*
 * conv2d, depthwise: in [in_h, in_w, in_c] -> out [out_h, out_w, out_c].
 * maxpool, avgpool:  the same; kernel is the window.
 * maxpool2:          out = in / 2, rounded down; kernel 2x2, stride 2, no padding.
 * linear, add:       linear flattens its input, out is [1, 1, out_c]; kernel 1x1, stride 1, no
 *                    padding.
 *
 * Padding is that above and left. Power-of-two form: as much below and right, and one stride for
 * both axes. Affine form: what out makes of it.
 */
struct pt_shape {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t in_c;
    uint16_t out_h;
    uint16_t out_w;
    uint16_t out_c;
    uint8_t kernel_h;
    uint8_t kernel_w;
    uint8_t stride_h;
    uint8_t stride_w;
    uint8_t padding_h;
    uint8_t padding_w;
};

static inline uint32_t pt_round4(uint32_t size)
{
    return (size + 3u) & ~3u;
}

static inline uint32_t pt_shape_in_size(const struct pt_shape *shape)
{
    return (uint32_t)shape->in_h * shape->in_w * shape->in_c;
}

static inline uint32_t pt_shape_positions(const struct pt_shape *shape)
{
    return (uint32_t)shape->out_h * shape->out_w;
}

static inline uint32_t pt_shape_out_size(const struct pt_shape *shape)
{
    return pt_shape_positions(shape) * shape->out_c;
}

/* Weights of one output channel of a convolution. */
static inline uint32_t pt_shape_patch_size(const struct pt_shape *shape)
{
    return (uint32_t)shape->kernel_h * shape->kernel_w * shape->in_c;
}

#endif
