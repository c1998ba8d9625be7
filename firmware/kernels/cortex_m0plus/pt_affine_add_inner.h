/*
 * The inner loop of the tuned addition: assembly on the Cortex-M0+, C in host/ elsewhere.
 */
#ifndef PT_AFFINE_ADD_INNER_H
#define PT_AFFINE_ADD_INNER_H

#include <stdint.h>

/*
 * Sums in 2^-20: v = a * weight_a + b * weight_b + start, output min(max(v >> 20, low), high). An
 * element whose v modulo 2^20 is below `doubt` ends the loop: its rounding is not certain.
 */
struct pt_add_job {
    const int8_t *a; /* these three behind the last element */
    const int8_t *b;
    int8_t *output;
    uint32_t weight_a;
    uint32_t weight_b;
    uint32_t doubt; /* times 2^12 */
    uint32_t start;
    int32_t low;
    int32_t high;
};

/* From `left` elements before the end on, not 0; returns how many are left: the first of them is
 * in doubt. */
uint32_t pt_affine_add(const struct pt_add_job *job, uint32_t left);

#endif
