/*
 * What forward and error of the tuned convolutions share, with and without a pool behind them: the
 * rows of a tensor as lists, weights as lanes, and sums of a row of windows (pt_conv2d_inner.h).
 */
#ifndef PT_CONVOLUTION_H
#define PT_CONVOLUTION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cortex_m0plus/pt_conv2d_inner.h"
#include "kernels/pt_conv2d.h"

enum {
    PT_MOST_KERNEL_ROWS = 15, /* docs/numerics.md, section 12 */
    PT_LANE_WORDS = PT_LANES / 2,
};

/* A stride-1 or -2 convolution of any tensor with weights in lanes. */
struct pt_convolution {
    const int8_t *source; /* [height, width, channels], */
    const uint8_t *places; /* or, with these, the [height / 2, width / 2, channels] of it that lie
                              there, all else being 0 (pt_conv2d_pool.h); NULL: none */
    uint32_t height;
    uint32_t width;
    uint32_t channels;
    uint32_t kernel_h;
    uint32_t kernel_w;
    uint32_t stride;
    uint32_t padding_h;
    uint32_t padding_w;
    uint32_t target_h;
    uint32_t target_w;
    uint32_t most;      /* elements of a list */
    uint32_t row_words; /* of one list: entries, index, sum of the magnitudes */
    uint32_t *lists;    /* kernel_h of them, row y in list y % kernel_h, or one */
    const uint32_t *lists_end;
    uint32_t *lanes;    /* [kernel_h, kernel_w, channels, PT_LANE_WORDS], behind them if its own */
    int32_t *sums;      /* [target_w, PT_LANES] */
    int8_t *row;        /* one effective row of edges, behind the sums */
    uint32_t listed;    /* rows listed so far */
    uint32_t *next;     /* list of row `listed` */
    uint32_t magnitudes; /* under the last row of windows, if measured */
    bool negative;      /* a listed value was */
    bool measured;      /* whether lists hold the sum of their magnitudes */
    bool merged;        /* one channel: one list for each target row, not for each source row */
};

/* How much there is under a row of windows; PT_SMALL: all together fit PT_ERROR_BUDGET. */
enum pt_magnitude { PT_NONE, PT_SMALL, PT_LARGE };

/* The forward convolution of an input, and the input error of a stride-1 convolution, without and
 * with places; `scratch` is divided among what they need. */
struct pt_convolution pt_convolution_forward(const struct pt_shape *shape, const int8_t *input,
                                             void *scratch);
struct pt_convolution pt_convolution_error(const struct pt_shape *shape, const int8_t *error,
                                           const uint8_t *places, void *scratch);

/* The next block of output channels into lanes, of `left` that remain; returns how many it has. */
uint32_t pt_convolution_pack(const struct pt_convolution *c, struct pt_edges *edges,
                             uint32_t left);

/* Input channels [begin, begin + count) of rows [first, end), the kernel turned by 180 degrees;
 * edges from row `first` on. */
void pt_convolution_pack_transposed(const struct pt_convolution *c, const struct pt_shape *shape,
                                    uint32_t first, uint32_t end, const struct pt_edges *edges,
                                    uint32_t begin, uint32_t count);

/* Before the first row of a block of channels; `measured`: lists note how large their values are,
 * without which no row is PT_SMALL. */
void pt_convolution_restart(struct pt_convolution *c, bool measured);

/* Whether a value is negative, or may be: words alone are looked at. */
bool pt_convolution_any_negative(const int8_t *values, uint32_t count);

/* A job for rows of windows. */
struct pt_lanes_job pt_convolution_job(const struct pt_convolution *c);

/* Points `job` at the lists under target row y, which come in order; says how much there is. */
enum pt_magnitude pt_convolution_rows_under(struct pt_convolution *c, uint32_t y,
                                            struct pt_lanes_row *rows, struct pt_lanes_job *job);

/*
 * A row of accumulators, int32 [target_w, PT_LANES], `step` bytes from one to the next; windows
 * without input are left as they are.
 */
void pt_convolution_sum(enum pt_magnitude magnitude, int32_t *output, uint32_t step,
                        struct pt_lanes_job *job);

/* The same into c->sums, all of it. */
void pt_convolution_sum_row(const struct pt_convolution *c, enum pt_magnitude magnitude,
                            struct pt_lanes_job *job);

#endif
