/*
 * A kernel on both cores: it is cut into two halves that write nothing in common, each a call of
 * that kernel with a smaller layer or a shorter stretch. Results are those of one core, to the bit,
 * wherever the cut is and whoever is first.
 *
 * The files beside this define the functions of kernels/pt_*.h by that. The kernels themselves are
 * compiled under other names, pt_alone_..., which pt_alone.h gives them: a half calls only those.
 */
#ifndef PT_SHARE_H
#define PT_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

/* Elements that are not worth a job for the other core: it costs some 150 cycles. */
enum { PT_SHARE_LEAST = 64 };

/* What the half of core 1 may take, in bytes; a layer that would need more runs on core 0 alone. */
#ifndef PT_CORE_SCRATCH
#define PT_CORE_SCRATCH 16384
#endif

/* half(job, 0) here and half(job, 1) on the other core, which is ready -> the sum of what they
 * return. Not within a half. */
uint32_t pt_share(uint32_t (*half)(const void *job, uint32_t core), const void *job);

/* Whether the other core is ready, and a half of it fits. */
bool pt_share_fits(uint32_t scratch);

/* Scratch of core 1, that much if it fits, aligned to 8: the last bytes of what it has, which on
 * the RP2040 lie in banks of memory that core 0 leaves alone. */
void *pt_share_scratch(uint32_t size);

/* For `count` elements, where to cut: a multiple of 4. 0: they are too few. */
uint32_t pt_share_stretch(uint32_t count);

/* The same for values of which words of zeros are left out, if they are not NULL. */
uint32_t pt_share_words(const int8_t *values, uint32_t count);

/* Scores of the first `rows` rows of a bitmap; both cores count. */
uint32_t pt_share_scores(const uint8_t *bitmap, uint32_t row_length, uint32_t rows);

/* The edges from that row on. */
struct pt_edges pt_share_edges(const struct pt_edges *edges, uint32_t row);

/* Rows with an error that is not 0 are the work: the row before which to cut. 0: there is none. */
uint32_t pt_share_rows(const int8_t *error, uint32_t rows);

/* Output rows, or input rows of an input error, of either core, as a layer of its own. */
struct pt_share_part {
    struct pt_shape shape;
    uint32_t input; /* its first element of the layer's input */
    uint32_t output;
};

struct pt_share_parts {
    struct pt_share_part of[2];
};

/*
 * By output rows; by input rows, with all errors whose windows reach them. False: not to be cut.
 * Forward, where a kernel leaves out zeros, its input says how much there is to do for each row;
 * NULL: as much for all. Errors are not looked at: nearly every row has as many.
 */
bool pt_share_forward(const struct pt_shape *shape, const int8_t *input,
                      struct pt_share_parts *parts);
bool pt_share_error(const struct pt_shape *shape, struct pt_share_parts *parts);

/* The same of a pair (pt_conv2d_pool.h), between windows of its pool: what is of the convolution's
 * output counts pooled elements, and is a multiple of 4, where a byte of places begins. */
bool pt_share_pool_forward(const struct pt_shape *shape, const int8_t *input,
                           struct pt_share_parts *parts);
bool pt_share_pool_error(const struct pt_shape *shape, struct pt_share_parts *parts);

#endif
