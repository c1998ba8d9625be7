/*
 * The inner loop of the masks: assembly on the Cortex-M0+, C in host/ elsewhere.
 */
#ifndef PT_EDGES_INNER_H
#define PT_EDGES_INNER_H

#include <stdint.h>

struct pt_mask_job {
    const int8_t *weights; /* this and the next two aligned to 4 */
    const int8_t *scores;
    int8_t *effective;
    const int8_t *end;     /* of effective: a multiple of 4 behind it, not empty */
    uint32_t threshold;    /* (uint8_t)threshold % 128, in every byte */
};

/* effective[i] = scores[i] >= threshold ? weights[i] : 0; the threshold is negative, or is not. */
void pt_mask_words_negative(const struct pt_mask_job *job);
void pt_mask_words_positive(const struct pt_mask_job *job);

#endif
