#include "kernels/pt_conv2d_pool.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_byte_order.h"
#include "kernels/cortex_m0plus/pt_conv2d_pool_inner.h"
#include "kernels/cortex_m0plus/pt_convolution.h"
#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/pt_conv2d_pool_rows.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"

/*
 * A sum that ReLU makes 0 takes 2.5 cycles to requantise, and nearly all of them are such. So two
 * rows of eight channels become int8 one by one, and are pooled as bytes: four of them take as long
 * as one sum would.
 */
struct pooling {
    int8_t *output; /* of the block's first channel, at a row's first position */
    uint8_t *places;
    uint32_t at;    /* of that output */
    uint32_t width; /* of the pooled row */
    uint32_t channels;
    uint32_t count; /* of the block */
};

static void pool_window(const int8_t *upper, const int8_t *lower, uint32_t at,
                        const struct pooling *p, uint32_t channel)
{
    const int8_t window[4] = {upper[0], upper[PT_LANES], lower[0], lower[PT_LANES]};
    uint32_t place = 0;
    for (uint32_t i = 1; i < 4u; ++i) {
        place = window[i] > window[place] ? i : place;
    }
    p->output[channel] = window[place];
    p->places[at / 4u] |= (uint8_t)(place << 2u * (at % 4u));
}

/* Two rows of outputs, int8 [2 * width + ..., PT_LANES], into the pool's, of which positions from
 * `from` to `to` have any. */
static void pool_rows(const int8_t *upper, const int8_t *lower, uint32_t from, uint32_t to,
                      const struct pooling *pooling)
{
    struct pooling p = *pooling;
    upper += from * 2u * PT_LANES;
    lower += from * 2u * PT_LANES;
    p.output += from * p.channels;
    p.at += from * p.channels;
    p.width = to - from;
    if (p.count == PT_LANES && ((p.channels | (uintptr_t)p.output | (uintptr_t)upper) & 3u) == 0u) {
        const int8_t *end = upper + 2u * PT_LANES * p.width;
        struct pt_pool_rows_job job = {
            upper, lower, end, p.output, p.places + p.at / 4u, p.channels,
        };
        pt_pool_rows(&job);
        return;
    }
    for (uint32_t x = 0; x < p.width; ++x) {
        for (uint32_t i = 0; i < p.count; ++i) {
            pool_window(upper + i, lower + i, p.at + i, &p, i);
        }
        upper += 2u * PT_LANES;
        lower += 2u * PT_LANES;
        p.output += p.channels;
        p.at += p.channels;
    }
}

/* Lanes of a block. */
static uint32_t block_words(const struct pt_convolution *c)
{
    return c->kernel_h * c->kernel_w * c->channels * PT_LANE_WORDS;
}

/* One row of a block's outputs into int8 [target_w, PT_LANES], which is 0. */
static uint32_t outputs_of_row(const struct pt_convolution *c, enum pt_magnitude magnitude,
                               bool whole, struct pt_lanes_job *job, int8_t *row)
{
    if (whole && job->shift != 0u && !c->negative) {
        job->output = row;
        job->output_step = PT_LANES;
        pt_lanes_row_relu_s8(job);
        return 0;
    }
    /* Lanes without a channel are 0. */
    pt_convolution_sum_row(c, magnitude, job);
    return pt_requantize_s8(c->sums, c->target_w * PT_LANES, job->shift, true, row);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Up to PT_POOL_BLOCKS blocks of channels, whose lanes and rows lie one after the other. */
static uint32_t pool_blocks(struct pt_convolution *c, uint32_t shift, int8_t *rows,
                            struct pooling *first, const struct pooling *end)
{
    const uint32_t row_bytes = c->target_w * PT_LANES;
    const uint32_t lane_words = block_words(c);
    struct pt_lanes_job job = pt_convolution_job(c);
    struct pt_lanes_row lists[PT_MOST_KERNEL_ROWS];
    uint32_t saturated = 0;
    uint32_t from = 0; /* of the pool's positions the first that may have an output, */
    uint32_t to = c->target_w; /* and behind the last; these two: all rows are to be cleared */
    pt_convolution_restart(c, false);
    c->negative = c->merged && pt_convolution_any_negative(c->source, c->height * c->width);
    job.shift = shift;
    for (uint32_t y = 0; y < c->target_h; ++y) {
        int8_t *upper = rows;
        int8_t *row = rows + (y & 1u) * row_bytes;
        if ((y & 1u) == 0u && from < to) {
            memset(rows, 0, (uint32_t)(end - first) * 2u * row_bytes);
            from = c->target_w;
            to = 0;
        }
        const enum pt_magnitude magnitude = pt_convolution_rows_under(c, y, lists, &job);
        if (magnitude != PT_NONE) {
            from = smaller(from, job.first / 2u);
            to = smaller(first->width, larger(to, (job.positions + 1u) / 2u));
        }
        for (struct pooling *p = first; p != end; ++p) {
            if (magnitude != PT_NONE) {
                saturated += outputs_of_row(c, magnitude, p->count == PT_LANES, &job, row);
                const struct pt_lanes_row *last = p + 1 == end ? lists : job.rows_end;
                for (struct pt_lanes_row *list = lists; list != last; ++list) {
                    list->lanes += lane_words;
                }
            }
            if ((y & 1u) != 0u) {
                if (from < to) {
                    pool_rows(upper, row, from, to, p);
                }
                p->output += p->width * p->channels;
                p->at += p->width * p->channels;
            }
            row += 2u * row_bytes;
            upper += 2u * row_bytes;
        }
    }
    return saturated + job.saturated;
}

uint32_t pt_conv2d_pool_forward_slice_s8(const struct pt_shape *shape, uint32_t begin,
                                         uint32_t end, const int8_t *input,
                                         const struct pt_edges *edges, uint32_t shift,
                                         void *scratch, int8_t *output, uint8_t *places)
{
    struct pt_convolution c = pt_convolution_forward(shape, input, scratch);
    struct pt_edges left = *edges;
    const uint32_t blocks = pt_conv2d_pool_blocks(shape);
    uint32_t saturated = 0;
    c.sums += (blocks - 1u) * block_words(&c);
    int8_t *rows = (int8_t *)(c.sums + c.target_w * PT_LANES);
    c.row = rows + blocks * 2u * c.target_w * PT_LANES;
    while (begin < end) {
        struct pooling pooling[PT_POOL_BLOCKS];
        struct pooling *next = pooling;
        for (; next != pooling + blocks && begin < end; ++next, begin += PT_LANES) {
            const struct pooling block = {
                output + begin,    places,       begin,
                shape->out_w / 2u, shape->out_c,
                pt_convolution_pack(&c, &left, end - begin),
            };
            *next = block;
            c.lanes += block_words(&c);
        }
        c.lanes -= (uint32_t)(next - pooling) * block_words(&c);
        saturated += pool_blocks(&c, shift, rows, pooling, next);
    }
    return saturated;
}

uint32_t pt_conv2d_pool_forward_s8(const struct pt_shape *shape, const int8_t *input,
                                   const struct pt_edges *edges, uint32_t shift, void *scratch,
                                   int8_t *output, uint8_t *places)
{
    memset(output, 0, pt_pooled_size(shape));
    memset(places, 0, pt_places_size(shape));
    return pt_conv2d_pool_forward_slice_s8(shape, 0, shape->out_c, input, edges, shift, scratch,
                                           output, places);
}

static bool all_zero(const int8_t *values, uint32_t count)
{
    const int8_t *end = values + count;
    if ((((uintptr_t)values | count) & 3u) == 0u) {
        for (; values != end && pt_load_word(values) == 0u; values += 4) {
        }
    } else {
        for (; values != end && *values == 0; ++values) {
        }
    }
    return values == end;
}

/*
 * Leaves out positions at either end of a row whose activations are all 0, so that ReLU lets no
 * error through; only where no sum can saturate, which would count.
 */
static void narrow(const struct pt_convolution *c, const int8_t *activation, uint32_t count,
                   uint32_t channels, uint32_t shift, struct pt_lanes_job *job)
{
    if (!PT_SKIP_ZEROS || activation == NULL || c->magnitudes > 1u << shift) {
        return;
    }
    const int8_t *at = activation + job->first * channels;
    for (; job->first != job->positions && all_zero(at, count); ++job->first) {
        at += channels;
    }
    at = activation + job->positions * channels;
    while (job->first != job->positions && all_zero(at -= channels, count)) {
        --job->positions;
    }
}

/* One block of the input's channels, row by row. */
static uint32_t error_block(struct pt_convolution *c, uint32_t count, uint32_t channels,
                            const int8_t *activation, uint32_t shift, int8_t *input_error)
{
    struct pt_lanes_job job = pt_convolution_job(c);
    struct pt_lanes_row lists[PT_MOST_KERNEL_ROWS];
    const uint32_t row = c->target_w * channels;
    uint32_t saturated = 0;
    pt_convolution_restart(c, true);
    for (uint32_t y = 0; y < c->target_h; ++y, input_error += row) {
        const enum pt_magnitude magnitude = pt_convolution_rows_under(c, y, lists, &job);
        if (magnitude != PT_NONE) {
            narrow(c, activation, count, channels, shift, &job);
        }
        if (magnitude != PT_NONE && job.first != job.positions) {
            /* With eight channels the positions lie together, and are one stretch. */
            const bool whole = channels == PT_LANES;
            const uint32_t length = whole ? (job.positions - job.first) * channels : count;
            const uint32_t step = whole ? job.positions - job.first : 1u;
            int32_t *sums = c->sums + job.first * PT_LANES;
            memset(sums, 0, (job.positions - job.first) * PT_LANES * sizeof *sums);
            pt_convolution_sum(magnitude, c->sums, 4u * PT_LANES, &job);
            for (uint32_t x = job.first; x < job.positions; x += step) {
                saturated += pt_requantize_error_s8(
                    c->sums + x * PT_LANES,
                    activation == NULL ? NULL : activation + x * channels, length, shift,
                    input_error + x * channels);
            }
        }
        if (activation != NULL) {
            activation += row;
        }
    }
    return saturated;
}

uint32_t pt_conv2d_pool_error_s8(const struct pt_shape *shape, const int8_t *error,
                                 const uint8_t *places, const struct pt_edges *edges,
                                 const int8_t *activation, uint32_t shift, void *scratch,
                                 int8_t *input_error)
{
    if (shape->stride_h != 1u) {
        return pt_conv2d_pool_error_rows_s8(shape, error, places, edges, activation, shift,
                                            scratch, input_error);
    }
    struct pt_convolution c = pt_convolution_error(shape, error, places, scratch);
    uint32_t saturated = 0;
    memset(input_error, 0, pt_shape_in_size(shape));
    for (uint32_t begin = 0; begin < shape->in_c; begin += PT_LANES) {
        const uint32_t left = shape->in_c - begin;
        const uint32_t count = left < PT_LANES ? left : PT_LANES;
        pt_convolution_pack_transposed(&c, shape, 0, shape->out_c, edges, begin, count);
        saturated += error_block(&c, count, shape->in_c,
                                 activation == NULL ? NULL : activation + begin, shift,
                                 input_error + begin);
    }
    return saturated;
}

uint32_t pt_conv2d_pool_error_slice_s8(const struct pt_shape *shape, const int8_t *error,
                                       const uint8_t *places, const int8_t *activation,
                                       uint32_t shift, void *shared, void *scratch,
                                       int8_t *input_error)
{
    struct pt_convolution c = pt_convolution_error(shape, error, places, scratch);
    c.lanes = pt_convolution_error(shape, error, places, shared).lanes;
    memset(input_error, 0, pt_shape_in_size(shape));
    return error_block(&c, shape->in_c, shape->in_c, activation, shift, input_error);
}
