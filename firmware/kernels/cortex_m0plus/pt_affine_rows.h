/*
 * What the tuned affine layers with weights share: a row of weights over a tile of patches.
 */
#ifndef PT_AFFINE_ROWS_H
#define PT_AFFINE_ROWS_H

#include <stdint.h>

#include "kernels/pt_affine.h"

/* Parts of the scratch, in this order (pt_affine_rows_scratch). */
struct pt_affine_rows {
    const struct pt_affine *affine;
    uint32_t length;  /* of a row and a patch */
    uint32_t rounded; /* up to 4 */
    uint32_t tile;    /* patches, an even number */
    int8_t *row;      /* an effective row */
    int8_t *patch[2];
    uint32_t *words;  /* the row, packed */
    int32_t *sums;    /* of a tile */
    uint32_t *pairs;  /* the patches of a tile */
};

void pt_affine_rows_at(struct pt_affine_rows *rows, const struct pt_affine *affine,
                       uint32_t length, uint32_t positions, void *scratch);

/* Puts two patches, aligned to 4 and with `rounded` bytes that may be read, into the tile. */
void pt_affine_rows_put(const struct pt_affine_rows *rows, uint32_t number,
                        const int8_t *patch, const int8_t *next);

/*
 * output[i * step] of the first `count` patches of the tile; `factor` is that of the row, whose
 * weights may lie in `row`.
 */
void pt_affine_rows_forward(const struct pt_affine_rows *rows, const int8_t *weights,
                            const struct pt_factor *factor, uint32_t count, int8_t *output,
                            uint32_t step);

/* Sums, bias included, to output[i * step]. */
void pt_affine_scale_sums(const struct pt_affine *affine, const struct pt_factor *factor,
                          const int32_t *sums, uint32_t count, int8_t *output, uint32_t step);

/* bound(zero_out + scale(sum)), slowly. */
int8_t pt_affine_rounded(const struct pt_affine *affine, const struct pt_factor *factor,
                         int32_t sum);

/* The same value everywhere: the output of a row whose sum is its bias. */
void pt_affine_fill(const struct pt_affine *affine, const struct pt_factor *factor,
                         uint32_t count, int8_t *output, uint32_t step);

#endif
