#include "kernels/cortex_m0plus/pt_linear_inner.h"

#include <stdbool.h>

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

void pt_columns(struct pt_columns_job *job)
{
    for (const struct pt_row_error *row = job->rows; row != job->end; ++row) {
        for (uint32_t k = 0; k < job->length; ++k) {
            job->sums[k] += row->error * row->weights[k];
        }
    }
}

static void columns_masked(const struct pt_columns_job *job, int32_t threshold)
{
    for (const struct pt_row_error *row = job->rows; row != job->end; ++row) {
        /* The distance wraps around where the scores lie below the weights. */
        const int8_t *scores = row->weights + (int32_t)job->scores;
        for (uint32_t k = 0; k < job->length; ++k) {
            if (scores[k] >= threshold) {
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
