/*
 * From a gradient to new weights or scores (docs/numerics.md, section 6).
 *
 *   step = clamp(PSTO(x, shift)), state <- clamp(state - step)
 *   x = G for weights, RHU(G, gradient_shift) * w for scores; both fit int32
 *
 * Each function works on one row of `count` edges and returns how many elements saturated: |PSTO|
 * above 127, or the new state clamped. `update` receives the step of each edge that learns, in
 * order; NULL: nobody wants them. Shifts 0..31. Buffers must not overlap.
 *
 * Sparse scores (PRIOT-S): see pt_edges.h; `scores` and `update` hold the scored edges of the row.
 */
#ifndef PT_UPDATE_H
#define PT_UPDATE_H

#include <stdint.h>

/* A convolution's row: gradient int32 [count]. */
uint32_t pt_update_weights_s8(int8_t *weights, const int32_t *gradient, uint32_t count,
                              uint32_t shift, int8_t *update);
uint32_t pt_update_scores_s8(int8_t *scores, const int8_t *weights, const int32_t *gradient,
                             uint32_t count, uint32_t gradient_shift, uint32_t shift,
                             int8_t *update);
uint32_t pt_update_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap, const int8_t *weights,
                                    const int32_t *gradient, uint32_t count,
                                    uint32_t gradient_shift, uint32_t shift, int8_t *update);

/*
 * A linear layer's row: the gradient has rank one, G = error * input, and is never stored. First
 * `begin` once for a layer's input int8 [count], with scratch of pt_update_linear_scratch bytes,
 * aligned to 4; then rows in any order, with the input and the scratch as they were.
 */
static inline uint32_t pt_update_linear_scratch(uint32_t count)
{
    return 4u * count + 4u;
}

void pt_update_linear_begin(const int8_t *input, uint32_t count, void *scratch);
uint32_t pt_update_linear_weights_s8(int8_t *weights, const int8_t *input, int32_t error,
                                     uint32_t count, uint32_t shift, const void *scratch,
                                     int8_t *update);
uint32_t pt_update_linear_scores_s8(int8_t *scores, const int8_t *weights, const int8_t *input,
                                    int32_t error, uint32_t count, uint32_t shift,
                                    const void *scratch, int8_t *update);
uint32_t pt_update_linear_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap,
                                           const int8_t *weights, const int8_t *input,
                                           int32_t error, uint32_t count, uint32_t shift,
                                           int8_t *update);

#endif
