/*
 * The update of a layer on both cores, rows to each (kernels/parallel/pt_share.h).
 */
#ifndef PT_UPDATE_SHARE_H
#define PT_UPDATE_SHARE_H

#include <stdint.h>

#include "nn/operators/pt_operator.h"

/*
 * All rows of the layer from update->row on, to which `update_row` is called as the trainer calls
 * it, without a sink. Returns how many elements saturated; update->row is `rows` then. Where a half
 * would not fit nothing is done, and update->row stays.
 */
uint32_t pt_update_share(struct pt_update *update,
                         uint32_t (*update_row)(const struct pt_update *update), uint32_t rows);

#endif
