/*
 * From a gradient to new weights or scores (docs/numerics.md, section 6), and from scores to the
 * weights that take part.
 *
 * All work on one run of `count` edges of one row. `update` receives the clamped PSTO result of
 * each edge that learns, for traces. Shifts 0..31. Buffers must not overlap. Each returns or adds
 * to `saturated` the elements whose update or new state was clamped.
 *
 * A sparse score list (PRIOT-S) has bit `i % 8` of bitmap byte `i / 8` set where edge i has a
 * score, and one score per set bit, in order.
 */
#ifndef PT_UPDATE_H
#define PT_UPDATE_H

#include <stdint.h>

/* w <- clamp(w - clamp(PSTO(G, shift))). */
uint32_t pt_update_weights_s8(int8_t *weights, const int32_t *gradient, uint32_t count,
                              uint32_t shift, int8_t *update);

/* s <- clamp(s - clamp(PSTO(RHU(G, gradient_shift) * w, shift))). */
uint32_t pt_update_scores_s8(int8_t *scores, const int8_t *weights, const int32_t *gradient,
                             uint32_t count, uint32_t gradient_shift, uint32_t shift,
                             int8_t *update);

/* The same for the edges that have a score. Returns how many there are, the length of update. */
uint32_t pt_update_sparse_scores_s8(int8_t *scores, const uint8_t *bitmap, const int8_t *weights,
                                    const int32_t *gradient, uint32_t count,
                                    uint32_t gradient_shift, uint32_t shift, int8_t *update,
                                    uint32_t *saturated);

/* effective[i] = scores[i] >= threshold ? weights[i] : 0. */
void pt_mask_weights_s8(const int8_t *weights, const int8_t *scores, int32_t threshold,
                        uint32_t count, int8_t *effective);

/* The same where edges without a score are always kept. Returns the number of scores used. */
uint32_t pt_mask_sparse_weights_s8(const int8_t *weights, const int8_t *scores,
                                   const uint8_t *bitmap, int32_t threshold, uint32_t count,
                                   int8_t *effective);

#endif
