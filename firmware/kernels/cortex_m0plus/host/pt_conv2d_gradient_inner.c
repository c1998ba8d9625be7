#include "kernels/cortex_m0plus/pt_conv2d_gradient_inner.h"

#include "kernels/cortex_m0plus/host/pt_halves.h"
#include "kernels/pt_conv2d.h"
#include "kernels/pt_numerics.h"
#include "kernels/pt_skips.h"

static void sum_pairs(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, uint32_t step, uint32_t count, int32_t *sums)
{
    for (uint32_t i = 0; i < 2u * count; ++i) {
        sums[i] = 0;
    }
    for (; list != end; ++list) {
        const int32_t error = list->value;
        const int32_t *pair = pairs + list->pairs / 4u;
        for (uint32_t i = 0; i < count; ++i, pair += step / 4u) {
            sums[2u * i] += error * pt_low_half(*pair);
            sums[2u * i + 1u] += error * pt_high_half(*pair);
        }
    }
}

void pt_pairs_6_step4(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, int32_t *sums)
{
    sum_pairs(list, end, pairs, 4, 6, sums);
}

void pt_pairs_6_step8(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, int32_t *sums)
{
    sum_pairs(list, end, pairs, 8, 6, sums);
}

void pt_pairs_2_step4(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, int32_t *sums)
{
    sum_pairs(list, end, pairs, 4, 2, sums);
}

void pt_pairs_2_step8(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, int32_t *sums)
{
    sum_pairs(list, end, pairs, 8, 2, sums);
}

void pt_pairs_3x2_step8(const struct pt_error *list, const struct pt_error *end,
                        const int32_t *pairs, int32_t *sums, uint32_t row_bytes)
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

void pt_list_placed_errors(struct pt_placed_errors *placed)
{
    struct pt_errors *errors = &placed->errors;
    struct pt_error *entry = errors->entry;
    const struct pt_position *position = errors->position;
    pt_list_errors(errors);
    for (; entry != errors->entry; ++position) {
        const uint32_t at = position->error;
        if (!PT_SKIP_ZEROS || errors->error[at] != 0) {
            const uint32_t place = (uint32_t)placed->places[at / 4u] << placed->left >> 30;
            entry->pairs += placed->moves[place];
            ++entry;
        }
    }
}
