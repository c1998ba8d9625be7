#include "kernels/cortex_m0plus/pt_linear_inner.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/pt_memory.h"
#include "kernels/pt_skips.h"

uint32_t *pt_list_input_words(const int8_t *values, const int8_t *end, uint32_t *list,
                              uint32_t number)
{
    for (; values != end; number += 1u << 8, ++values) {
        if (!PT_SKIP_ZEROS || *values != 0) {
            *list++ = number | (uint8_t)*values;
        }
    }
    return list;
}

static int32_t sum_row(const struct pt_rows_job *job, uint32_t row, bool masked)
{
    int32_t sum = 0;
    for (const uint32_t *entry = job->list; entry != job->end; ++entry) {
        const uint32_t k = (*entry >> 8) + row * job->length;
        if (!masked || job->scores[k] >= job->threshold) {
            sum += (int8_t)(uint8_t)*entry * job->weights[k];
        }
    }
    return sum;
}

void pt_rows4(struct pt_rows_job *job)
{
    for (uint32_t row = 0; row < 4u; ++row) {
        job->sums[row] = sum_row(job, row, false);
    }
}

void pt_rows4_masked(struct pt_rows_job *job)
{
    for (uint32_t row = 0; row < 4u; ++row) {
        job->sums[row] = sum_row(job, row, true);
    }
}

/* The distance wraps around where the scores lie below the weights. */
static const int8_t *scores_of(const int8_t *weights, uintptr_t distance)
{
    return (const int8_t *)((uintptr_t)weights + distance);
}

static uint32_t sum_words(const struct pt_words_job *job, bool masked, int32_t threshold)
{
    const int8_t *scores = scores_of(job->weights, job->scores);
    uint32_t sum = 0;
    uint32_t k = 0;
    for (const uint32_t *pair = job->pairs; pair != job->end; pair += 2, k += 4u) {
        const uint32_t input[] = {pair[0] >> 16, pair[1] >> 16, pair[0] & 0xffffu,
                                  pair[1] & 0xffffu};
        for (uint32_t i = 0; i < 4u; ++i) {
            const bool kept = !masked || scores[k + i] >= threshold;
            sum += input[i] * (uint32_t)((kept ? job->weights[k + i] : 0) + 128);
        }
    }
    return sum;
}

uint32_t pt_row_words(const struct pt_words_job *job)
{
    return sum_words(job, false, 0);
}

uint32_t pt_row_words_masked_negative(const struct pt_words_job *job)
{
    return sum_words(job, true, (int32_t)(job->threshold & 0x7fu) - 128);
}

uint32_t pt_row_words_masked_positive(const struct pt_words_job *job)
{
    return sum_words(job, true, (int32_t)(job->threshold & 0x7fu));
}

static bool needs(const struct pt_columns_job *job, uint32_t k)
{
    return job->needed == NULL || pt_load_word(job->needed + (k & ~3u)) != 0u;
}

void pt_columns(struct pt_columns_job *job)
{
    for (const struct pt_row_error *row = job->rows; row != job->end; ++row) {
        for (uint32_t k = 0; k < job->length; ++k) {
            job->sums[k] += needs(job, k) ? row->error * row->weights[k] : 0;
        }
    }
}

static void columns_masked(const struct pt_columns_job *job, int32_t threshold)
{
    for (const struct pt_row_error *row = job->rows; row != job->end; ++row) {
        const int8_t *scores = scores_of(row->weights, job->scores);
        for (uint32_t k = 0; k < job->length; ++k) {
            if (needs(job, k) && scores[k] >= threshold) {
                job->sums[k] += row->error * row->weights[k];
            }
        }
    }
}

void pt_columns_masked_negative(struct pt_columns_job *job)
{
    columns_masked(job, (int32_t)(job->threshold & 0x7fu) - 128);
}

void pt_columns_masked_positive(struct pt_columns_job *job)
{
    columns_masked(job, (int32_t)(job->threshold & 0x7fu));
}
