/*
 * The inner loops of the tuned affine layers with weights: assembly on the Cortex-M0+, C in host/
 * elsewhere.
 *
 * Two products in one multiplication: with A = a2 - a0 * 2^16 and W = w2 * 2^16 - w0,
 * A * W = (a0 * w0 + a2 * w2) * 2^16 - a2 * w0 mod 2^32, and its upper half, rounded, is the sum of
 * both products for all of int8. Only where all four are -128 that sum is 2^15, and then the lower
 * part, -2^14, keeps A * W below 2^31. So activations stand here as they are in the tensor, and the
 * zero point times the sum of the row is taken off the bias.
 */
#ifndef PT_AFFINE_ROWS_INNER_H
#define PT_AFFINE_ROWS_INNER_H

#include <stdint.h>

/*
 * Bytes of two patches, both aligned to 4, as words A: for every four bytes a0..a3 of the patches p
 * and q the words a2 - a0 * 2^16 of p and of q, then a3 - a1 * 2^16 of p and of q.
 */
struct pt_pairs_job {
    const int8_t *patch[2];
    const int8_t *end; /* of patch 0: a multiple of 4 behind it, not empty */
    uint32_t *pairs;
};

void pt_affine_pairs(const struct pt_pairs_job *job);

/*
 * Four weights w0..w3, aligned to 4, as w2 * 2^16 - w0, w3 * 2^16 - w1. `sum` becomes the sum of
 * all those words; `bits` is 0 where all weights are.
 */
struct pt_pack_job {
    const int8_t *weights;
    const int8_t *end; /* a multiple of 4 behind it, at most PT_PACK_MOST, not empty */
    uint32_t *words;
    uint32_t sum;
    uint32_t bits;
};

enum { PT_PACK_MOST = 256 }; /* weights: both halves of the sum fit 16 bits */

void pt_affine_pack(struct pt_pack_job *job);

/* sums[2i], sums[2i + 1] = start + the products of the words and the i-th two patches. */
struct pt_dots_job {
    const uint32_t *words;
    const uint32_t *words_end; /* a multiple of 2 words behind it, not empty */
    const uint32_t *pairs;
    const uint32_t *pairs_end; /* not empty */
    int32_t *sums;
    uint32_t start;
};

void pt_affine_dots(const struct pt_dots_job *job);

/*
 * Sums to int8: section 14's bound(zero_out + scale(sum, m, -n)), n 1..PT_SCALE_MOST_SHIFT,
 * m in three parts: m0 + m1 * 2^11 + m2 * 2^22. A sum from 2^20 on, in magnitude, is out of all
 * bounds then, and below that the products with a part fit 32 bits.
 */
struct pt_scale_job {
    const int32_t *sums;
    const int32_t *end; /* not empty */
    int8_t *output;
    uint32_t step; /* from one output to the next */
    uint32_t m0;
    uint32_t m1;
    uint32_t m2;
    uint32_t shift;   /* n + 9 */
    int32_t constant; /* 2^(n+8) + zero_out * 2^(n+9); of _relu 2^8 more */
    int32_t low;
    int32_t high;
};

enum { PT_SCALE_MOST_SHIFT = 11 };

void pt_affine_scale(const struct pt_scale_job *job);

/* The same where low = zero_out or above, so that what is not positive becomes low. */
void pt_affine_scale_relu(const struct pt_scale_job *job);

/*
 * The same for low = zero_out = -128, high = 127 and n 1..PT_NEAR_MOST_SHIFT, in two parts:
 * m = low_part + high_part * 2^15, low_part in -2^14..2^14 - 1. From `limit` on, at most 2^17, it
 * becomes 127; below it is less than 255.1 times 2^(31+n) / m, so products fit 32 bits.
 */
struct pt_near_job {
    const int32_t *sums;
    const int32_t *end; /* not empty */
    int8_t *output;
    uint32_t high_part;
    uint32_t shift; /* n + 16 */
    int32_t low_part;
    uint32_t limit;
    uint32_t constant; /* 2^15 + 2^(n+15) - 128 * 2^(n+16) */
    uint32_t step;     /* from one output to the next */
};

enum { PT_NEAR_MOST_SHIFT = 8 };

void pt_affine_scale_near(const struct pt_near_job *job);

#endif
