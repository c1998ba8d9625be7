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

static int32_t upper(uint32_t word)
{
    return ((int32_t)word >> 16) + (int32_t)(word >> 15 & 1u);
}

static void pair_1(const uint32_t *const row[3], const uint32_t *weights, uint32_t *sums)
{
    for (uint32_t k = 0; k < 3u; ++k) {
        sums[0] += (uint32_t)upper(row[k][0] * weights[k]);
        sums[1] += (uint32_t)upper(row[k][1] * weights[k]);
    }
    const uint32_t both[2] = {row[0][2] * weights[3] + row[1][2] * weights[4],
                              row[2][2] * weights[5]};
    for (uint32_t i = 0; i < 2u; ++i) {
        const int32_t lower = (int16_t)both[i];
        sums[0] += (uint32_t)lower;
        sums[1] += (uint32_t)upper(both[i]);
    }
}

static void pair_2(const uint32_t *const row[3], const uint32_t *weights, uint32_t *sums)
{
    uint32_t all = 0;
    uint32_t high = 0;
    uint32_t group = 0;
    for (uint32_t tap = 0; tap < 9u; ++tap) {
        group += row[tap / 3u][tap % 3u] * weights[tap];
        if (tap % 2u == 1u || tap == 8u) {
            all += group;
            high += (uint32_t)upper(group);
            group = 0;
        }
    }
    sums[0] += all - (high << 16);
    sums[1] += high;
}

void pt_affine_taps(const struct pt_taps_job *job)
{
    const uint8_t *first = (const uint8_t *)job->words;
    uint8_t *sums = (uint8_t *)job->sums;
    for (uint32_t y = 0; y < job->rows; ++y, first += job->next_row) {
        for (uint32_t at = 0; at != job->pairs; at += job->pair, sums += 8) {
            const uint32_t *const row[3] = {(const uint32_t *)(first + at),
                                            (const uint32_t *)(first + at + job->row),
                                            (const uint32_t *)(first + at + 2u * job->row)};
            uint32_t both[2] = {job->start, job->start};
            (job->pair == 8u ? pair_1 : pair_2)(row, job->weights, both);
            ((int32_t *)sums)[0] = (int32_t)both[0];
            ((int32_t *)sums)[1] = (int32_t)both[1];
        }
        sums -= job->odd;
    }
}
