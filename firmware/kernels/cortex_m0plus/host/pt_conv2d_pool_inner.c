#include "kernels/cortex_m0plus/pt_conv2d_pool_inner.h"

#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_skips.h"

void pt_pool_rows(struct pt_pool_rows_job *job)
{
    const int8_t *lower = job->lower;
    int8_t *output = job->output;
    uint32_t at = 0;
    for (const int8_t *upper = job->upper; upper != job->upper_end; upper += 2u * PT_LANES) {
        for (uint32_t i = 0; i < PT_LANES; ++i) {
            const int8_t window[4] = {upper[i], upper[i + PT_LANES], lower[i], lower[i + PT_LANES]};
            uint32_t place = 0;
            for (uint32_t k = 1; k < 4u; ++k) {
                place = window[k] > window[place] ? k : place;
            }
            output[i] = window[place];
            job->places[(at + i) / 4u] |= (uint8_t)(place << 2u * (i % 4u));
        }
        lower += 2u * PT_LANES;
        output += job->step;
        at += job->step;
    }
}

void pt_list_places(struct pt_places_list *job)
{
    const uint32_t channels = 4u * job->pixel_words;
    uint32_t offset = job->offset;
    uint32_t at = 0;
    for (; job->index != job->index_end; at += channels) {
        for (uint32_t side = 0; side < 2u; ++side) {
            *job->index++ = (uint32_t)((uintptr_t)job->entry - job->base);
            for (uint32_t i = at; i < at + channels; ++i, offset += 16u) {
                const bool here = pt_place_of(job->places, i) == (job->row & 2u) + side;
                if (here && (!PT_SKIP_ZEROS || job->pixel[i] != 0)) {
                    job->entry->value = job->pixel[i];
                    job->entry->offset = offset;
                    ++job->entry;
                }
            }
        }
    }
}
