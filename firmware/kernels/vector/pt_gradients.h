/*
 * Gradients of several rows, made when one of them is asked for, and kept until
 * pt_affine_gradient_begin says that there are other errors.
 */
#ifndef PT_GRADIENTS_H
#define PT_GRADIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/vector/pt_quads.h"

enum {
    PT_GRADIENTS_POSITIONS = 1 << 16, /* the most that a layer has which may train */
    PT_GRADIENTS_ROOM = 4 * PT_QUADS_TERMS
};

struct pt_gradients {
    bool packed;    /* what all rows share is ready */
    uint32_t first; /* the rows that are made */
    uint32_t rows;
    bool any[PT_VECTOR];             /* of each, whether it has an error */
    int32_t sums[PT_GRADIENTS_ROOM]; /* row after row */
};

extern struct pt_gradients pt_gradients;

static inline bool pt_gradients_have(uint32_t row)
{
    return row >= pt_gradients.first && row - pt_gradients.first < pt_gradients.rows;
}

/* The rows to make when `row` is asked for: a vector of them, of `all`. */
static inline void pt_gradients_next(uint32_t all, uint32_t row, uint32_t length)
{
    const uint32_t fit = pt_vector_count(PT_GRADIENTS_ROOM / length) & ~3u;
    pt_gradients.first = row - row % fit;
    pt_gradients.rows = all - pt_gradients.first < fit ? all - pt_gradients.first : fit;
}

static inline int32_t *pt_gradients_at(uint32_t length, uint32_t row)
{
    return pt_gradients.sums + row * length;
}

#endif
