/*
 * The edges of one layer, and which of them take part: all, those whose score reaches a threshold
 * (PRIOT), or those and all that have no score (PRIOT-S).
 *
 *   weights int8 [rows, row_length]
 *   scores  int8, one per scored edge in edge order; NULL: every edge takes part
 *   bitmap  uint8 [rows, ceil(row_length / 8)]: bit i % 8 of byte i / 8 of a row is set where edge
 *           i has a score; NULL: every edge has one
 */
#ifndef PT_EDGES_H
#define PT_EDGES_H

#include <stdint.h>

struct pt_edges {
    const int8_t *weights;
    const int8_t *scores;
    const uint8_t *bitmap;
    int32_t threshold; /* -127..127 */
    uint32_t row_length;
};

/* Effective weights that hosts keep from step to step (vector/pt_kept.h), or NULL, and the
 * threshold of the scores that they come from. */
struct pt_kept_row {
    int8_t *effective;
    int32_t threshold;
};

static inline uint32_t pt_bitmap_size(uint32_t row_length)
{
    return (row_length + 7u) / 8u;
}

/*
 * The next row of effective weights, int8 [row_length], from a copy of the layer's edges that moves
 * on by one row. In place where nothing is masked, else made in `masked` [row_length], which must
 * overlap nothing and is aligned to 4.
 */
const int8_t *pt_edges_next_row(struct pt_edges *edges, int8_t *masked);

/* effective[i] = scores[i] >= threshold ? weights[i] : 0. */
void pt_mask_weights_s8(const int8_t *weights, const int8_t *scores, int32_t threshold,
                        uint32_t count, int8_t *effective);

/* The same where edges without a score are always kept. Returns the number of scores used. */
uint32_t pt_mask_sparse_weights_s8(const int8_t *weights, const int8_t *scores,
                                   const uint8_t *bitmap, int32_t threshold, uint32_t count,
                                   int8_t *effective);

/* The scores of one row of a bitmap. */
uint32_t pt_bitmap_count(const uint8_t *bitmap, uint32_t row_length);

#endif
