#include "kernels/cortex_m0plus/pt_affine_depthwise_inner.h"

static void gather(const struct pt_gather_job *job, uint32_t stride)
{
    const int8_t *source = job->source;
    uint32_t *word = job->words;
    while (word != job->end) {
        int32_t before[2] = {job->zero, job->zero}; /* the newest first */
        for (uint32_t i = 0; i < job->inside + job->gap; ++i) {
            int32_t value = job->zero;
            if (i < job->inside) {
                value = *source;
                source += job->step;
            }
            *word++ = (uint32_t)before[stride - 1u] + ((uint32_t)value << 16);
            before[1] = before[0];
            before[0] = value;
        }
        source += job->jump;
    }
}

void pt_affine_gather_1(const struct pt_gather_job *job)
{
    gather(job, 1);
}

void pt_affine_gather_2(const struct pt_gather_job *job)
{
    gather(job, 2);
}

void pt_affine_taps(const struct pt_taps_job *job)
{
    const uint8_t *row = (const uint8_t *)job->words;
    uint8_t *sums = (uint8_t *)job->sums;
    for (uint32_t y = 0; y < job->rows; ++y, row += job->next_row) {
        for (uint32_t at = 0; at != job->pairs; at += job->pair, sums += 8) {
            uint32_t all = 0;
            int32_t high = 0;
            uint32_t group = 0;
            for (uint32_t tap = 0; tap < 9u; ++tap) {
                const uint32_t *words = (const uint32_t *)(row + at + tap / 3u * job->row);
                group += words[tap % 3u] * (uint32_t)job->weights[tap];
                if (tap % 2u == 1u || tap == 8u) {
                    all += group;
                    high += ((int32_t)group >> 16) + (int32_t)(group >> 15 & 1u);
                    group = 0;
                }
            }
            ((int32_t *)sums)[0] = (int32_t)(all - ((uint32_t)high << 16));
            ((int32_t *)sums)[1] = high;
        }
        sums -= job->odd;
    }
}
