/*
 * Layers of the affine form, backward (docs/numerics.md, section 15).
 *
 *   input  int8 [in_h, in_w, in_c]    error int8 [out_h, out_w, out_c], of the output, -127..127
 *   sums   int32 [in_h, in_w, in_c], of the input's error, overwritten
 *
 * Shapes, weights and factors are those of a model that may train, so nothing overflows. Terms
 * outside the input are left out. Buffers must not overlap. Scratch holds one effective row, and is
 * aligned to 4.
 */
#ifndef PT_AFFINE_BACKWARD_H
#define PT_AFFINE_BACKWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_affine.h"
#include "kernels/pt_edges.h"
#include "kernels/pt_merge.h"
#include "kernels/pt_shape.h"

/* Edges of int8 [out_c, kernel_h, kernel_w, in_c]; of a linear layer [out_c, K]; [in_c, K]. */
void pt_affine_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                                const struct pt_edges *edges, void *scratch, int32_t *sums);
void pt_affine_depthwise_error_s32(const struct pt_shape *shape, const int8_t *error,
                                   const struct pt_edges *edges, void *scratch, int32_t *sums);

/*
 * Before the rows of a layer: its input and its error are others than before. Hosts make gradients
 * of several rows at once, and keep them; elsewhere nothing is kept.
 */
#ifdef PT_HOST_VECTORS
void pt_affine_gradient_begin(void);
#else
static inline void pt_affine_gradient_begin(void)
{
}
#endif

/*
 * Gradient of one row, int32 [K], overwritten: sums of error * (input - zero). Returns false where
 * the row has no error: then it is all 0.
 */
bool pt_affine_conv2d_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                   const int8_t *input, const int8_t *error, int32_t *gradient);
bool pt_affine_depthwise_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                      const int8_t *input, const int8_t *error,
                                      int32_t *gradient);
bool pt_affine_linear_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                   const int8_t *input, const int8_t *error, int32_t *gradient);

/* clamp(RHU(sums, shift)) into the input's error, shift 0..24. Returns how many saturated. */
uint32_t pt_affine_merge_sums_s32(const int32_t *sums, uint32_t count, uint32_t shift,
                                  const struct pt_merge *merge);

/* What an add gives to each of its inputs: its own error. */
void pt_affine_merge_s8(const int8_t *error, uint32_t count, const struct pt_merge *merge);

/* The shift j of an average: enough for the most windows that a position lies in. */
uint32_t pt_affine_pool_shift(const struct pt_shape *shape);

/*
 * Sums of the windows whose first maximum a position is, clamped; or of those that it lies in,
 * shifted by j.
 */
void pt_affine_maxpool_error_s8(const struct pt_shape *shape, const int8_t *input,
                                const int8_t *error, const struct pt_merge *merge);
void pt_affine_avgpool_error_s8(const struct pt_shape *shape, const int8_t *error,
                                const struct pt_merge *merge);

/* Finishes an error: 0 where the output is at a bound that is an activation's. */
void pt_affine_mask_error_s8(const struct pt_affine *affine, const int8_t *output,
                             uint32_t count, int8_t *error);

/* Finishes an error: each channel is weighted by the multiplier of its row. */
void pt_affine_weigh_error_s8(const struct pt_factor *factor, uint32_t rows, uint32_t positions,
                              int8_t *error);

/* The largest multiplier, by shift, then by itself; 0 is the least. */
const struct pt_factor *pt_affine_largest_factor(const struct pt_factor *factor, uint32_t rows);

#endif
