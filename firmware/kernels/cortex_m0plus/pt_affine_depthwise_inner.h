/*
 * The inner loops of the tuned depthwise 3x3 layer: assembly on the Cortex-M0+, C in host/
 * elsewhere.
 *
 * One channel at a time, as words a(x) + a(x + stride_w) * 2^16: times a weight that is a term of
 * two neighbouring outputs. Two such terms fit 16 bits, as no weight is -128. With a stride of 1 it
 * times w1 + w0 * 2^16 has two terms of one output in its upper half, and one below 2^15,
 * which rounds, in the lower: so the left two columns of a kernel are made, the third as terms of
 * two outputs. With a stride of 2 all are; after every two terms the upper sum is taken off,
 * rounded, and a word keeps the plain sum of all products, from which the lower sum follows.
 */
#ifndef PT_AFFINE_DEPTHWISE_INNER_H
#define PT_AFFINE_DEPTHWISE_INNER_H

#include <stdint.h>

/*
 * Rows of a channel as words. A row has `inside` elements, `step` bytes apart in the source, then
 * `gap` elements `zero`, up to the first element of the next row; each becomes the upper half of a
 * word, whose lower half is the element 1 or 2 before it: `zero` at the beginning of a row.
 */
struct pt_gather_job {
    const int8_t *source;
    uint32_t step;
    uint32_t jump; /* from behind the last element of a row to the first of the next */
    uint32_t *words;
    const uint32_t *end; /* a multiple of a row behind `words`, not empty */
    uint32_t inside;     /* not 0 */
    uint32_t gap;
    int32_t zero;
};

void pt_affine_gather_1(const struct pt_gather_job *job);
void pt_affine_gather_2(const struct pt_gather_job *job);

/*
 * Sums, from `start`, of nine products for `rows` rows of `outputs` sums, one row after the other.
 * An odd row writes one sum more, which the next row overwrites.
 */
struct pt_taps_job {
    const uint32_t *words; /* of the first output: three words in each of three rows */
    int32_t *sums;
    uint32_t row;      /* bytes from one row of words to the next */
    uint32_t pair;     /* bytes from two outputs to the next two: 8 or 16 */
    uint32_t pairs;    /* bytes of all pairs of a row */
    uint32_t next_row; /* bytes from a row of outputs to the next */
    uint32_t odd;      /* 4 where a row has an odd number of outputs, else 0 */
    uint32_t rows;
    uint32_t start;
    /*
     * None is -128. With words of pt_affine_gather_1, whose pairs are 8 bytes, w1 + w0 * 2^16,
     * w4 + w3 * 2^16, w7 + w6 * 2^16, w2, w5, w8; with those of pt_affine_gather_2 w0 to w8.
     */
    uint32_t weights[9];
};

void pt_affine_taps(const struct pt_taps_job *job);

#endif
