#include "kernels/cortex_m0plus/pt_affine_rows_inner.h"

#include <stdbool.h>

static uint32_t pair(int32_t low, int32_t high)
{
    return (uint32_t)low + ((uint32_t)high << 16);
}

void pt_affine_pairs(const struct pt_pairs_job *job)
{
    const int8_t *p = job->patch[0];
    const int8_t *q = job->patch[1];
    for (uint32_t *pairs = job->pairs; p != job->end; p += 4, q += 4, pairs += 4) {
        pairs[0] = pair(p[2], -p[0]);
        pairs[1] = pair(q[2], -q[0]);
        pairs[2] = pair(p[3], -p[1]);
        pairs[3] = pair(q[3], -q[1]);
    }
}

void pt_affine_pack(struct pt_pack_job *job)
{
    uint32_t *words = job->words;
    job->sum = 0;
    job->bits = 0;
    for (const int8_t *w = job->weights; w != job->end; w += 4, words += 2) {
        words[0] = pair(-w[0], w[2]);
        words[1] = pair(-w[1], w[3]);
        job->sum += words[0] + words[1];
        job->bits |= (uint32_t)(uint8_t)(w[0] | w[1] | w[2] | w[3]);
    }
}

/* The upper half of a product, rounded: what the assembly adds. */
static int32_t products(uint32_t a, uint32_t w)
{
    const uint32_t product = a * w;
    return ((int32_t)product >> 16) + (int32_t)(product >> 15 & 1u);
}

void pt_affine_dots(const struct pt_dots_job *job)
{
    const uint32_t *pairs = job->pairs;
    int32_t *sums = job->sums;
    while (pairs != job->pairs_end) {
        uint32_t sum[2] = {job->start, job->start};
        for (const uint32_t *word = job->words; word != job->words_end; ++word, pairs += 2) {
            sum[0] += (uint32_t)products(pairs[0], *word);
            sum[1] += (uint32_t)products(pairs[1], *word);
        }
        *sums++ = (int32_t)sum[0];
        *sums++ = (int32_t)sum[1];
    }
}

static void scale(const struct pt_scale_job *job, bool relu)
{
    int8_t *output = job->output;
    for (const int32_t *sum = job->sums; sum != job->end; ++sum, output += job->step) {
        const int32_t x = *sum;
        int32_t y = x < 0 ? job->low : job->high;
        if (x > -(1 << 20) && x < 1 << 20 && !(relu && x <= 0)) {
            y = (x * (int32_t)job->m0) >> 11;
            y = (x * (int32_t)job->m1 + y) >> 11;
            y += x * (int32_t)job->m2;
            if (!relu) {
                y += 1 << 8;
                y += y < 0 ? -(1 << 9) : 0;
            }
            y = (y + job->constant) >> job->shift;
        } else if (relu && x <= 0) {
            y = job->low;
        }
        y = y < job->low ? job->low : y;
        *output = (int8_t)(y > job->high ? job->high : y);
    }
}

void pt_affine_scale(const struct pt_scale_job *job)
{
    scale(job, false);
}

void pt_affine_scale_relu(const struct pt_scale_job *job)
{
    scale(job, true);
}

void pt_affine_scale_near(const struct pt_near_job *job)
{
    int8_t *output = job->output;
    for (const int32_t *sum = job->sums; sum != job->end; ++sum, output += job->step) {
        const uint32_t x = (uint32_t)*sum;
        if (x >= job->limit) {
            *output = (int32_t)x < 0 ? INT8_MIN : INT8_MAX;
            continue;
        }
        const int32_t low = (int32_t)(x * (uint32_t)job->low_part) >> 15;
        *output = (int8_t)((int32_t)(x * job->high_part + (uint32_t)low + job->constant) >>
                           job->shift);
    }
}
