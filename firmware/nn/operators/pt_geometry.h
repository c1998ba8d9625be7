/*
 * Rules of shapes that several operators share (docs/numerics.md, sections 3 and 12).
 */
#ifndef PT_GEOMETRY_H
#define PT_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_shape.h"

enum pt_geometry_limit { PT_MAX_KERNEL = 15, PT_MAX_STRIDE = 2, PT_MAX_WINDOW = 255 };

/* A square kernel of that size that steps by itself, without padding. */
bool pt_geometry_tiles(const struct pt_shape *shape, uint32_t kernel);

/* True where `out` is what a kernel of that size makes of `in`, on both axes. */
bool pt_geometry_convolves(const struct pt_shape *shape);

/*
 * True where kernel and stride are within limits and every window of the affine form meets the
 * input (section 14), on both axes.
 */
bool pt_geometry_slides(const struct pt_shape *shape, uint32_t most_kernel, uint32_t most_stride);

/*
 * Bytes of scratch of a backward operation of the affine form, of a layer whose rows have that
 * length: accumulators or gradients, and a row of effective weights or of steps.
 */
uint32_t pt_geometry_backward_bytes(const struct pt_shape *shape, uint32_t row_length,
                                    uint32_t operation);

/* Terms of the longest of a layer's sums: a row, an input's errors, an edge's positions. */
uint32_t pt_geometry_terms(const struct pt_shape *shape, uint32_t row_length);

#endif
