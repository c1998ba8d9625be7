#include "nn/parallel/pt_update_share.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/parallel/pt_core.h"
#include "kernels/parallel/pt_gradient_scratch.h"
#include "kernels/parallel/pt_share.h"
#include "nn/operators/pt_row_update.h"
#include "nn/pt_selection.h"

struct job {
    struct pt_update update[2];
    uint32_t end[2];
    uint32_t (*update_row)(const struct pt_update *update);
};

/* Moves on by one row, whose scores are counted where not every edge has one. */
static void next_row(struct pt_update *update)
{
    const uint32_t length = update->row_length;
    if (update->scores != NULL && pt_selection_has(update->rows, update->row)) {
        update->scores +=
            update->bitmap == NULL ? length : pt_bitmap_count(update->bitmap, length);
    }
    if (update->bitmap != NULL) {
        update->bitmap += pt_bitmap_size(length);
    }
    update->weights += length;
    ++update->row;
}

/* Moves on to row `cut`. */
static void skip_rows(struct pt_update *update, uint32_t cut)
{
    const uint32_t length = update->row_length;
    const uint32_t rows = cut - update->row;
    if (update->rows != NULL) {
        while (update->row < cut) {
            next_row(update);
        }
        return;
    }
    if (update->bitmap != NULL) {
        update->scores += pt_share_scores(update->bitmap, length, rows);
        update->bitmap += rows * pt_bitmap_size(length);
    } else if (update->scores != NULL) {
        update->scores += rows * length;
    }
    update->weights += rows * length;
    update->row = cut;
}

static uint32_t half_rows(const void *argument, uint32_t core)
{
    const struct job *job = argument;
    struct pt_update update = job->update[core];
    uint32_t saturated = 0;
    for (; update.row < job->end[core]; next_row(&update)) {
        if (pt_selection_has(update.rows, update.row)) {
            saturated += job->update_row(&update);
        }
    }
    return saturated;
}

/* Core 1 has a place of its own for what its rows store. False: there is no room. */
static bool separate(struct pt_update *other, bool affine)
{
    if (affine) {
        other->gradient = pt_share_scratch(4u * other->row_length);
        return pt_share_fits(4u * other->row_length);
    }
    if (other->op == &pt_linear_operator || other->dynamic) {
        return true; /* no gradient is stored, or all are there already */
    }
    other->kernel = pt_gradient_scratch(other->shape);
    other->gradient = pt_gradient_of_core(other->shape);
    return pt_gradient_shared(other->shape);
}

uint32_t pt_update_share(struct pt_update *update,
                         uint32_t (*update_row)(const struct pt_update *update), uint32_t rows)
{
    struct job job = {{*update, *update}, {0, rows}, update_row};
    struct pt_update *other = &job.update[1];
    uint32_t cut = 0;
    if (pt_shape_positions(update->shape) == 1u) {
        cut = pt_share_rows(update->error, rows);
    } else if (rows >= 2u && pt_share_fits(0)) {
        cut = pt_core_cut(rows);
    }
    if (cut == 0u || !separate(other, update_row == pt_affine_update_row)) {
        return 0;
    }
    skip_rows(other, cut);
    job.end[0] = cut;
    update->row = rows;
    return pt_share(half_rows, &job);
}
