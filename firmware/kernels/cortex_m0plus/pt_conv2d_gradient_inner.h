/*
 * The inner loops of the tuned convolution's gradient: assembly on the Cortex-M0+, C in host/
 * elsewhere.
 */
#ifndef PT_CONV2D_GRADIENT_INNER_H
#define PT_CONV2D_GRADIENT_INNER_H

#include <stdint.h>

/* An error, or an output position that may have one. */
struct pt_error {
    int32_t value;
    uint32_t pairs; /* offset of the pairs under its window, in bytes */
};

/*
 * sums[i] = sum over the list of error * pair i, where pairs are words v(2i) + v(2i + 1) * 2^16:
 * int32 [12] of six pairs, [4] of two. The magnitudes of the errors add up to at most
 * PT_ERROR_BUDGET. The list is not empty. Pairs lie `step` bytes apart, 4 or 8.
 */
void pt_pairs_6_step4(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, int32_t *sums);
void pt_pairs_6_step8(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, int32_t *sums);
void pt_pairs_2_step4(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, int32_t *sums);
void pt_pairs_2_step8(const struct pt_error *list, const struct pt_error *end,
                      const int32_t *pairs, int32_t *sums);

/* Three rows of two pairs, each `row_bytes` behind the one before; sums int32 [3, 4]. */
void pt_pairs_3x2_step8(const struct pt_error *list, const struct pt_error *end,
                        const int32_t *pairs, int32_t *sums, uint32_t row_bytes);

/* An output position: its errors begin `error` bytes behind the first. */
struct pt_position {
    uint32_t error;
    uint32_t pairs;
};

struct pt_positions_job {
    const int8_t *error; /* of the row's first position, aligned to 4 */
    uint32_t at;         /* of it: pt_position.error, .pairs */
    uint32_t end;        /* `at` behind the row, which is not empty */
    uint32_t pairs;
    uint32_t pair_step;  /* of `pairs` */
    uint32_t channels;   /* a multiple of 8; the step of `at` */
    struct pt_position *position; /* moves on */
};

/* Appends the positions of one row that have an error. */
void pt_list_positions(struct pt_positions_job *job);

/* Where to go on with a list of one channel's errors. */
struct pt_errors {
    const struct pt_position *position;
    const struct pt_position *end; /* behind the last, at least one */
    const int8_t *error;           /* of the channel at the first position */
    struct pt_error *entry;        /* room for all that are not zero and fit the budget */
};

/*
 * Appends the errors that are not zero, until the positions end or the magnitudes would add up to
 * more than PT_ERROR_BUDGET; moves `position` and `entry` on.
 */
void pt_list_errors(struct pt_errors *errors);

/* The same of a pool's errors, of a multiple of 4 channels: each moves to its place. */
struct pt_placed_errors {
    struct pt_errors errors;
    const uint8_t *places; /* the byte that has the place of the channel at error 0 */
    uint32_t left;         /* brings it to the top of a word: 30, 28, 26 or 24 */
    const uint32_t *moves; /* what each place adds to `pairs` */
};

void pt_list_placed_errors(struct pt_placed_errors *placed);

#endif
