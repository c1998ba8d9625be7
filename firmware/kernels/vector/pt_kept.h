/*
 * Effective weights of masked layers, kept from one step to the next.
 *
 * A layer is masked when its edges are first asked for; from then on updates of its scores renew
 * what changed, so that kernels read it as a layer without masks. That holds as long as nobody else
 * changes weights or scores: from pt_kept_begin to pt_kept_end, which a board calls around each
 * command. Outside of these, and for layers beyond the room, nothing is kept.
 */
#ifndef PT_KEPT_H
#define PT_KEPT_H

#include <stdint.h>

#include "kernels/pt_edges.h"

enum {
    PT_KEPT_ROOM = 16 << 20, /* bytes of effective weights */
    PT_KEPT_LAYERS = 32
};

void pt_kept_begin(void);
void pt_kept_end(void);

/* The edges of a whole layer: as given, or without masks because they are kept. */
struct pt_edges pt_kept_edges(struct pt_edges edges, uint32_t rows);

/* The row that begins with these weights; `effective` is NULL where it is not kept. */
struct pt_kept_row pt_kept_row(const int8_t *weights);

/* After an update: the effective weights of edges that have a score each, or of a row of which a
 * bitmap says which have. */
void pt_kept_renew(const int8_t *weights, const int8_t *scores, uint32_t count);
void pt_kept_renew_sparse(const int8_t *weights, const int8_t *scores, const uint8_t *bitmap,
                          uint32_t count);

#endif
