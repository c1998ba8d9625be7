#include "kernels/cortex_m0plus/pt_conv2d_inner.h"

#include "kernels/cortex_m0plus/host/pt_halves.h"
#include "kernels/pt_conv2d.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"

void pt_list_words(struct pt_list_job *job)
{
    const int8_t *pixel = job->pixel;
    uint32_t offset = job->offset;
    for (; job->index != job->index_end; ++job->index) {
        *job->index = (uint32_t)((uintptr_t)job->entry - job->base);
        for (uint32_t c = 0; c < 4u * job->pixel_words; ++c, offset += 16u) {
            const int32_t value = *pixel++;
            if (!PT_SKIP_ZEROS || value != 0) {
                job->entry->value = value;
                job->entry->offset = offset;
                ++job->entry;
                job->bits |= (uint8_t)value;
            }
        }
    }
}

void pt_list_columns(struct pt_columns_list *job)
{
    for (; job->index != job->index_end; ++job->index, ++job->pixel, job->offset += 16u) {
        uint32_t offset = job->offset;
        *job->index = (uint32_t)((uintptr_t)job->entry - job->base);
        for (uint32_t at = 0; at != job->size; at += job->width, offset += job->row_step) {
            const int32_t value = job->pixel[at];
            if (!PT_SKIP_ZEROS || value != 0) {
                job->entry->value = value;
                job->entry->offset = offset;
                ++job->entry;
            }
        }
    }
}

static void sum_window(const struct pt_lanes_job *job, uint32_t x, int32_t *sums)
{
    for (uint32_t c = 0; c < PT_LANES; ++c) {
        sums[c] = 0;
    }
    for (const struct pt_lanes_row *row = job->rows; row != job->rows_end; ++row) {
        const uint32_t *index = row->index + x * job->index_step / 4u;
        const struct pt_entry *entry = (const struct pt_entry *)(job->base + *index);
        const struct pt_entry *end =
            (const struct pt_entry *)(job->base + index[job->kernel_step / 4u]);
        for (; entry != end; ++entry) {
            const int32_t value = entry->value;
            const uint32_t *lanes = row->lanes + (entry->offset - x * job->lane_step) / 4u;
            for (uint32_t j = 0; j < PT_LANES / 2u; ++j) {
                sums[2u * j] += value * pt_low_half((int32_t)lanes[j]);
                sums[2u * j + 1u] += value * pt_high_half((int32_t)lanes[j]);
            }
        }
    }
}

void pt_lanes_row_s32(struct pt_lanes_job *job)
{
    for (uint32_t x = job->first; x < job->positions; ++x) {
        sum_window(job, x, (int32_t *)((uint8_t *)job->output + x * job->output_step));
    }
}

void pt_lanes_row_small_s32(struct pt_lanes_job *job)
{
    pt_lanes_row_s32(job);
}

void pt_lanes_row_relu_s8(struct pt_lanes_job *job)
{
    int32_t sums[PT_LANES];
    for (uint32_t x = job->first; x < job->positions; ++x) {
        int8_t *output = (int8_t *)job->output + x * job->output_step;
        sum_window(job, x, sums);
        for (uint32_t c = 0; c < PT_LANES; ++c) {
            output[c] = pt_requantize_s32(sums[c], job->shift, true, &job->saturated);
        }
    }
}
