#include "kernels/cortex_m0plus/pt_conv2d_inner.h"

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

static int32_t low(int32_t word)
{
    return (int16_t)(uint16_t)word;
}

static int32_t high(int32_t word)
{
    return (word - low(word)) / 65536;
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
                sums[2u * j] += value * low((int32_t)lanes[j]);
                sums[2u * j + 1u] += value * high((int32_t)lanes[j]);
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

static void sum_pairs(const struct pt_error *list, const struct pt_error *end, const int32_t *pairs,
                      uint32_t step, uint32_t count, int32_t *sums)
{
    for (uint32_t i = 0; i < 2u * count; ++i) {
        sums[i] = 0;
    }
    for (; list != end; ++list) {
        const int32_t error = list->value;
        const int32_t *pair = pairs + list->pairs / 4u;
        for (uint32_t i = 0; i < count; ++i, pair += step / 4u) {
            sums[2u * i] += error * low(*pair);
            sums[2u * i + 1u] += error * high(*pair);
        }
    }
}

void pt_pairs_6_step4(const struct pt_error *list, const struct pt_error *end, const int32_t *pairs,
                      int32_t *sums)
{
    sum_pairs(list, end, pairs, 4, 6, sums);
}

void pt_pairs_6_step8(const struct pt_error *list, const struct pt_error *end, const int32_t *pairs,
                      int32_t *sums)
{
    sum_pairs(list, end, pairs, 8, 6, sums);
}

void pt_pairs_2_step4(const struct pt_error *list, const struct pt_error *end, const int32_t *pairs,
                      int32_t *sums)
{
    sum_pairs(list, end, pairs, 4, 2, sums);
}

void pt_pairs_2_step8(const struct pt_error *list, const struct pt_error *end, const int32_t *pairs,
                      int32_t *sums)
{
    sum_pairs(list, end, pairs, 8, 2, sums);
}

void pt_pairs_3x2_step8(const struct pt_error *list, const struct pt_error *end, const int32_t *pairs,
                        int32_t *sums, uint32_t row_bytes)
{
    for (uint32_t row = 0; row < 3u; ++row) {
        sum_pairs(list, end, pairs + row * (row_bytes / 4u), 8, 2, sums + 4u * row);
    }
}

void pt_list_positions(struct pt_positions_job *job)
{
    for (; job->at != job->end; job->at += job->channels, job->pairs += job->pair_step) {
        int32_t bits = 0;
        for (uint32_t c = 0; c < job->channels; ++c) {
            bits |= *job->error++;
        }
        if (!PT_SKIP_ZEROS || bits != 0) {
            job->position->error = job->at;
            job->position->pairs = job->pairs;
            ++job->position;
        }
    }
}

void pt_list_errors(struct pt_errors *errors)
{
    uint32_t magnitudes = 0;
    for (; errors->position != errors->end; ++errors->position) {
        const int32_t error = errors->error[errors->position->error];
        if (PT_SKIP_ZEROS && error == 0) {
            continue;
        }
        magnitudes += pt_abs_s32(error);
        if (magnitudes > PT_ERROR_BUDGET) {
            return;
        }
        errors->entry->value = error;
        errors->entry->pairs = errors->position->pairs;
        ++errors->entry;
    }
}
