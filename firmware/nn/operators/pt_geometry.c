#include "nn/operators/pt_geometry.h"

#include "nn/operators/pt_operator.h"

bool pt_geometry_tiles(const struct pt_shape *shape, uint32_t kernel)
{
    return shape->kernel_h == kernel && shape->kernel_w == kernel &&
           shape->stride_h == kernel && shape->stride_w == kernel && shape->padding_h == 0u &&
           shape->padding_w == 0u;
}

static bool convolves(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride,
                      uint32_t padding)
{
    if (kernel < 1u || kernel > PT_MAX_KERNEL || padding >= kernel || in + 2u * padding < kernel) {
        return false;
    }
    /* A comparison instead of the division by a stride of 1 or 2. */
    const uint32_t steps = in + 2u * padding - kernel;
    return out == (stride == 2u ? steps >> 1 : steps) + 1u;
}

bool pt_geometry_convolves(const struct pt_shape *s)
{
    return (s->stride_h == 1u || s->stride_h == 2u) && s->stride_w == s->stride_h &&
           convolves(s->in_h, s->out_h, s->kernel_h, s->stride_h, s->padding_h) &&
           convolves(s->in_w, s->out_w, s->kernel_w, s->stride_w, s->padding_w);
}

/* A window of that size has its last place in the input; so then have all before it. */
static bool slides(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t padding,
                   uint32_t most_kernel, uint32_t most_stride)
{
    return kernel >= 1u && kernel <= most_kernel && stride >= 1u && stride <= most_stride &&
           padding < kernel && (out - 1u) * stride < in + padding;
}

bool pt_geometry_slides(const struct pt_shape *s, uint32_t most_kernel, uint32_t most_stride)
{
    return slides(s->in_h, s->out_h, s->kernel_h, s->stride_h, s->padding_h, most_kernel,
                  most_stride) &&
           slides(s->in_w, s->out_w, s->kernel_w, s->stride_w, s->padding_w, most_kernel,
                  most_stride);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

uint32_t pt_geometry_backward_bytes(const struct pt_shape *shape, uint32_t row_length,
                                    uint32_t operation)
{
    const uint32_t sums = operation == PT_ERROR ? pt_shape_in_size(shape) : row_length;
    return 4u * sums + pt_round4(row_length);
}

uint32_t pt_geometry_terms(const struct pt_shape *shape, uint32_t row_length)
{
    const uint32_t error_terms = (uint32_t)shape->kernel_h * shape->kernel_w * shape->out_c;
    return larger(larger(row_length, error_terms), pt_shape_positions(shape));
}
