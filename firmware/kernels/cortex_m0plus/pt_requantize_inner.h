/*
 * The inner loop of the tuned requantisation: assembly on the Cortex-M0+, C in host/ elsewhere.
 */
#ifndef PT_REQUANTIZE_INNER_H
#define PT_REQUANTIZE_INNER_H

#include <stdint.h>

struct pt_requantize_job {
    const int32_t *accumulator;
    int8_t *output;     /* aligned to 4 */
    const int8_t *end;  /* of the output: a multiple of 4 behind it, not empty */
    uint32_t shift;     /* 0..24 */
    int32_t half;       /* 2^(shift - 1), 0 for shift 0 */
    int32_t least;      /* of the output: -127, or 0 with ReLU */
    uint32_t above;     /* counts up: outputs clamped to 127 */
    uint32_t below;     /* and to -127, with ReLU none */
};

/* output = min(max((accumulator + half) >> shift, least), 127). */
void pt_requantize_words(struct pt_requantize_job *job);

#endif
