/*
 * The inner loop of the tuned addition: assembly on the Cortex-M0+, C in host/ elsewhere.
 */
#ifndef PT_AFFINE_ADD_INNER_H
#define PT_AFFINE_ADD_INNER_H

#include <stdint.h>

/*
 * Sums in 2^-21: four elements at a time, to v >> 21 within int8. An element whose v modulo 2^21 is
 * below PT_ADD_ZONE may be rounded wrongly: its address goes into `doubts`. Ends early where more
 * than PT_ADD_DOUBTS are there; `doubt` goes behind the last one, `output` behind the last element.
 */
enum { PT_ADD_ZONE = 1 << 10, PT_ADD_DOUBTS = 12 };

struct pt_add_words_job {
    int8_t *output; /* aligned to 4, like the inputs */
    const int8_t *a;
    const int8_t *b;
    const int8_t *end; /* a multiple of 4 behind `output`, not empty */
    uint32_t weight_a;
    uint32_t weight_b;
    uint32_t start;
    int8_t **doubt; /* the first of `doubts` */
    int8_t *doubts[PT_ADD_DOUBTS + 4];
};

void pt_affine_add_words(struct pt_add_words_job *job);

#endif
