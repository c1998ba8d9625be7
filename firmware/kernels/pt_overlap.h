/*
 * Where a kernel lies on its input: shared by the convolutions.
 */
#ifndef PT_OVERLAP_H
#define PT_OVERLAP_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

/* The part of the kernel that lies on the input at one output position. */
struct pt_overlap {
    uint32_t row_begin;    /* kernel rows [row_begin, row_end) are inside */
    uint32_t row_end;
    uint32_t kernel_start; /* first inside element of a kernel row */
    uint32_t length;       /* inside elements of a kernel row */
    uint32_t input_start;  /* input element under kernel row row_begin, kernel_start */
};

/* First and one-past-last kernel index inside [0, extent); never empty, as padding < kernel. */
static inline void pt_overlap_clip(uint32_t position, uint32_t stride, uint32_t padding,
                                  uint32_t kernel, uint32_t extent, uint32_t *begin,
                                  uint32_t *end)
{
    const uint32_t origin = position * stride; /* of the padded input */
    const uint32_t room = extent + padding - origin;
    *begin = origin < padding ? padding - origin : 0u;
    *end = kernel < room ? kernel : room;
}

struct pt_overlap pt_overlap_at(const struct pt_shape *shape, uint32_t y, uint32_t x);

/*
 * For every error of output channel `row` that is not zero: to += error * from, under its window.
 * One of `from` and `to` is laid out as the input, the other as the kernel. Any shape, no scratch.
 */
void pt_overlap_accumulate_s32(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                              const int8_t *from, bool from_kernel, int32_t *to);

/* The input error of any convolution, each error times its row: see pt_conv2d_error_s32. */
void pt_overlap_error_s32(const struct pt_shape *shape, const int8_t *error,
                          const struct pt_edges *edges, int8_t *masked, int32_t *input_error);

#endif
