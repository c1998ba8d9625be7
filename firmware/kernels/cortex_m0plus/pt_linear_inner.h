/*
 * The inner loops of the tuned linear layer: assembly on the Cortex-M0+, C in host/ elsewhere.
 *
 * An input list holds the inputs that are not zero, in order: k << 8 | (uint8_t)value.
 */
#ifndef PT_LINEAR_INNER_H
#define PT_LINEAR_INNER_H

#include <stdint.h>

/* pt_list_inputs (pt_slices.h) of words: values up to `end`, aligned to 4, of which there are any;
 * `number` is k << 8 of the first. */
uint32_t *pt_list_input_words(const int8_t *values, const int8_t *end, uint32_t *list,
                              uint32_t number);

struct pt_rows_job {
    const uint32_t *list;
    const uint32_t *end;
    const int8_t *weights; /* of four rows, `length` apart */
    const int8_t *scores;  /* laid out like them; only for _masked */
    uint32_t length;
    int32_t threshold;     /* only for _masked */
    int32_t *sums;         /* [4] */
};

/* sums[row] = sum of value * weight over the list, which is not empty. */
void pt_rows4(struct pt_rows_job *job);

/* The same over the edges whose score reaches the threshold. */
void pt_rows4_masked(struct pt_rows_job *job);

struct pt_words_job {
    const uint32_t *pairs; /* inputs 4i .. 4i + 3: a2 + a0 * 2^16, a3 + a1 * 2^16; none negative */
    const uint32_t *end;
    const int8_t *weights; /* of one row, aligned to 4 */
    uintptr_t scores;      /* only for _masked: as in pt_columns_job */
    uint32_t threshold;    /* only for _masked: as in pt_columns_job */
};

/* Sum of input * (weight + 128) over one row: for inputs that are hardly ever 0. */
uint32_t pt_row_words(const struct pt_words_job *job);

/* The same with weight 0 where the score is below the threshold, which is negative, or is not. */
uint32_t pt_row_words_masked_negative(const struct pt_words_job *job);
uint32_t pt_row_words_masked_positive(const struct pt_words_job *job);

/* A row of edges and its error. */
struct pt_row_error {
    int32_t error;
    const int8_t *weights; /* aligned to 4 */
};

struct pt_columns_job {
    const struct pt_row_error *rows;
    const struct pt_row_error *end;
    int32_t *sums;         /* [length] */
    uint32_t length;       /* a multiple of 4, not 0 */
    uintptr_t scores;      /* only for _masked: bytes from a weight to its score, a multiple of 4 */
    uint32_t threshold;    /* only for _masked: (uint8_t)threshold % 128, in every byte */
    const int8_t *needed;  /* [length], aligned to 4: words of zeros need no sums; NULL: all do */
};

/* sums[k] += sum of error * weights[k] over the rows, of which there is at least one. */
void pt_columns(struct pt_columns_job *job);

/* The same over the edges whose score reaches the threshold, which is negative, or is not. */
void pt_columns_masked_negative(struct pt_columns_job *job);
void pt_columns_masked_positive(struct pt_columns_job *job);

#endif
