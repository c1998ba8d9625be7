/*
 * The scores of PRIOT and PRIOT-S in memory: which edges have one, and their first values.
 *
 * PRIOT: scores int8 [rows, row length], no bitmap. PRIOT-S, and PRIOT on selected rows: one score
 * per chosen edge in ascending flat index, and a bitmap [rows, ceil(row length / 8)] that says
 * which edges those are.
 */
#ifndef PT_SCORES_H
#define PT_SCORES_H

#include <stdint.h>

#include "nn/pt_method.h"
#include "nn/pt_model.h"
#include "nn/pt_plan.h"

struct pt_scores {
    int8_t *score;
    uint8_t *bitmap; /* NULL: every edge has a score */
    uint32_t count;
};

/* The scores of one layer, which lie at `memory` (pt_layer_scores_size bytes). */
struct pt_scores pt_scores_at(uint8_t *memory, const struct pt_planned *planned, uint32_t layer,
                              const struct pt_allotment *allotment);

/* Chooses the scored edges where there is a bitmap, and gives every score its first value. */
void pt_scores_initialise(const struct pt_scores *scores, const struct pt_planned *planned,
                          uint32_t layer);

#endif
