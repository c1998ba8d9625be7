/*
 * The inner loops of the tuned convolution with its pool: assembly on the Cortex-M0+, C in host/
 * elsewhere.
 */
#ifndef PT_CONV2D_POOL_INNER_H
#define PT_CONV2D_POOL_INNER_H

#include <stdint.h>

#include "kernels/cortex_m0plus/pt_conv2d_inner.h"

/* Two rows of outputs, int8 [.., PT_LANES] and 0..127, of which windows of 2x2 are pooled. */
struct pt_pool_rows_job {
    const int8_t *upper; /* aligned to 4, like the next four */
    const int8_t *lower;
    const int8_t *upper_end; /* behind the last window, of which there is one at least */
    int8_t *output;          /* of the first window's first channel; 0 */
    uint8_t *places;         /* of it; 0, and not aligned */
    uint32_t step;           /* from one output to the next: the channels, 4 * n */
};

void pt_pool_rows(struct pt_pool_rows_job *job);

/* A row of a pool's errors, of which those are listed that lie in one row of the windows. */
struct pt_places_list {
    const int8_t *pixel;    /* of a row of 4 * pixel_words channels, aligned to 4 */
    const uint8_t *places;
    struct pt_entry *entry; /* moves on */
    uint32_t *index;        /* where the entries of each column of the windows begin */
    uint32_t *index_end;    /* two for each pixel, of which there is one at least */
    uint32_t offset;        /* of the first element */
    uint32_t pixel_words;
    uint32_t row;           /* the places that count, in every pair of bits: 0 or 0xaa */
    uintptr_t base;
};

void pt_list_places(struct pt_places_list *job);

#endif
