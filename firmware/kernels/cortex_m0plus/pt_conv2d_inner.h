/*
 * The inner loops of the tuned convolution, forward and of its error: assembly on the Cortex-M0+, C
 * in host/ elsewhere.
 */
#ifndef PT_CONV2D_INNER_H
#define PT_CONV2D_INNER_H

#include <stdint.h>

/*
 * A list holds the elements of one row of a tensor [width, channels] that are not zero, in order,
 * and an index where the entries of each padded column begin, then where they end: byte addresses
 * less `base`, which is 0 where addresses have 32 bits.
 *
 * Lanes hold the weights of PT_LANES output channels: for each element of a window, in order, four
 * words w(2j) + w(2j + 1) * 2^16. One multiplication of such a word by a value makes two products;
 * their sums stay apart while the sum of the values' magnitudes is at most PT_ERROR_BUDGET.
 */
struct pt_entry {
    int32_t value;
    uint32_t offset; /* of its lanes in bytes: 16 * (padded column * channels + c) */
};

struct pt_list_job {
    const int8_t *pixel;   /* of a row, aligned to 4 */
    struct pt_entry *entry; /* moves on */
    uint32_t *index;       /* where each pixel's entries begin */
    uint32_t *index_end;
    uint32_t offset;       /* of the first element */
    uint32_t pixel_words;  /* channels / 4 */
    uint32_t bits;         /* or of all words that were there */
    uintptr_t base;
};

/* Lists a row of pixels of 4 * pixel_words channels. */
void pt_list_words(struct pt_list_job *job);

/* Rows of pixels of one channel, `width` apart, to be listed column by column. */
struct pt_columns_list {
    const int8_t *pixel;    /* of the first row */
    struct pt_entry *entry; /* moves on */
    uint32_t *index;        /* where each column's entries begin; moves on */
    uint32_t *index_end;
    uint32_t offset;        /* of the first row's first pixel */
    uint32_t width;
    uint32_t size;          /* rows * width, not 0 */
    uint32_t row_step;      /* from the offset of a pixel to that of the one below */
    uintptr_t base;
};

void pt_list_columns(struct pt_columns_list *job);

struct pt_lanes_row {
    const uint32_t *index; /* at padded column 0 */
    const uint32_t *lanes; /* of the kernel row that lies on it */
};

struct pt_lanes_job {
    const struct pt_lanes_row *rows; /* the kernel rows inside the tensor, at least one */
    const struct pt_lanes_row *rows_end;
    uint32_t kernel_step; /* 4 * kernel_w */
    uint32_t index_step;  /* 4 * stride */
    uint32_t lane_step;   /* 16 * stride * channels */
    uint32_t first;       /* of the row's output positions the first to be made */
    uint32_t positions;   /* behind the last, more than `first` */
    void *output;         /* PT_LANES elements for each position; 0 */
    uint32_t output_step; /* bytes from one position to the next */
    uint32_t shift;       /* _s8: 1..24 */
    uint32_t saturated;   /* _s8: counts up */
    uintptr_t base;
};

/*
 * Positions whose windows have no values may be left as they are: they are 0.
 *
 * int32 accumulators; values of any sign. `output` is aligned to 4. `small`: the magnitudes of all
 * values in the lists add up to at most PT_ERROR_BUDGET.
 */
void pt_lanes_row_s32(struct pt_lanes_job *job);
void pt_lanes_row_small_s32(struct pt_lanes_job *job);

/* clamp(RHU(accumulator, shift)) to [0, 127] as int8; no value may be negative. */
void pt_lanes_row_relu_s8(struct pt_lanes_job *job);

#endif
