/*
 * Where errors go: one layer's contribution to the error of a tensor that it reads, the first one
 * or merged into what is there (docs/numerics.md, section 15).
 */
#ifndef PT_MERGE_H
#define PT_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_numerics.h"

struct pt_merge {
    int8_t *error;  /* of the tensor */
    int32_t factor; /* of the side with the lesser scale, below 2^16; 0: the first contribution */
    uint32_t shift; /* of that product, 15..30 */
    bool coarse;    /* the contribution has the larger scale */
};

/* Element i of the tensor receives c, -127..127. Products are below 2^23, so nothing overflows. */
static inline void pt_merge_put(const struct pt_merge *merge, uint32_t i, int32_t c)
{
    int32_t error = merge->error[i];
    if (merge->factor == 0) {
        merge->error[i] = (int8_t)c;
        return;
    }
    if (merge->coarse) {
        error = pt_rhu_s32(error * merge->factor, merge->shift);
    } else {
        c = pt_rhu_s32(c * merge->factor, merge->shift);
    }
    merge->error[i] = pt_clamp_s8(error + c);
}

#endif
