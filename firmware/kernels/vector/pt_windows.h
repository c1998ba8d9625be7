/*
 * What convolutions of one channel each share: taps of a vector of channels, and where they lie.
 */
#ifndef PT_WINDOWS_H
#define PT_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_overlap.h"
#include "kernels/pt_shape.h"
#include "kernels/vector/pt_lanes.h"

enum { PT_MOST_TAPS = 15 * 15 };

/* A window is one position: no row or column can lie outside. */
static inline bool pt_is_pointwise(const struct pt_shape *shape)
{
    return shape->kernel_h == 1u && shape->kernel_w == 1u && shape->stride_h == 1u &&
           shape->stride_w == 1u && shape->out_h == shape->in_h && shape->out_w == shape->in_w;
}

/* The taps [row_begin, row_end) x [column_begin, column_end) that lie on the input. */
struct pt_window {
    uint32_t row_begin;
    uint32_t row_end;
    uint32_t column_begin;
    uint32_t column_end;
    uint32_t input; /* the first channel of the element under the first of them */
};

static inline struct pt_window pt_window_at(const struct pt_shape *shape, uint32_t y, uint32_t x)
{
    struct pt_window window;
    pt_overlap_clip(y, shape->stride_h, shape->padding_h, shape->kernel_h, shape->in_h,
                    &window.row_begin, &window.row_end);
    pt_overlap_clip(x, shape->stride_w, shape->padding_w, shape->kernel_w, shape->in_w,
                    &window.column_begin, &window.column_end);
    const uint32_t in_y = y * shape->stride_h + window.row_begin - shape->padding_h;
    const uint32_t in_x = x * shape->stride_w + window.column_begin - shape->padding_w;
    window.input = (in_y * shape->in_w + in_x) * shape->in_c;
    return window;
}

/* The weights of the next `count` channels, tap by tap. */
static inline void pt_window_weights(const struct pt_shape *shape, struct pt_edges *edges,
                                     uint32_t count, int8_t *masked, pt_ints *weights)
{
    const uint32_t taps = (uint32_t)shape->kernel_h * shape->kernel_w;
    for (uint32_t tap = 0; tap < taps; ++tap) {
        weights[tap] = pt_ints_all(0);
    }
    for (uint32_t lane = 0; lane < count; ++lane) {
        const int8_t *row = pt_edges_next_row(edges, masked);
        for (uint32_t tap = 0; tap < taps; ++tap) {
            weights[tap][lane] = row[tap];
        }
    }
}

#endif
