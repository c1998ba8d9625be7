#include "kernels/parallel/pt_share.h"

#include <stddef.h>

#include "kernels/parallel/pt_core.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_skips.h"

enum { PARTS = 256 /* of what is to be done */, STRETCH = 32 /* values looked at together */ };

static _Alignas(8) uint8_t core_scratch[PT_CORE_SCRATCH];

struct call {
    uint32_t (*half)(const void *job, uint32_t core);
    const void *job;
    uint32_t answer;
};

static void run_other(void *argument)
{
    struct call *call = argument;
    call->answer = call->half(call->job, 1);
}

uint32_t pt_share(uint32_t (*half)(const void *job, uint32_t core), const void *job)
{
    struct call other = {half, job, 0};
    pt_core_post(run_other, &other);
    const uint32_t mine = half(job, 0);
    pt_core_join();
    return mine + other.answer;
}

bool pt_share_fits(uint32_t scratch)
{
    return scratch <= sizeof core_scratch && pt_core_ready();
}

void *pt_share_scratch(uint32_t size)
{
    return core_scratch + (size < sizeof core_scratch ? (sizeof core_scratch - size) & ~7u : 0u);
}

/* What a stretch of values costs: 1, and as much again for each word of it that is not 0, of which
 * every other one says enough. */
static uint32_t work_of(const int8_t *values, uint32_t length)
{
    uint32_t work = 1;
    for (uint32_t i = 0; i < length; i += 8u) {
        work += pt_load_word(values + i) != 0u ? 1u : 0u;
    }
    return work;
}

/* Whether zeros are left out, and stretches of that length are words. */
static bool tells(const int8_t *values, uint32_t length)
{
    return PT_SKIP_ZEROS && values != NULL && (((uintptr_t)values | length) & 3u) == 0u;
}

/*
 * Of `count` stretches, 2 or more, those before the cut, at least one for each core: equal ones, or
 * as the values say, of which each has `length`. From either end on, who has less takes the next.
 */
static uint32_t cut_by_work(const int8_t *values, uint32_t count, uint32_t length)
{
    if (!tells(values, length)) {
        return pt_core_cut(count);
    }
    const uint32_t part = pt_core_cut(PARTS);
    uint32_t first = 1;
    uint32_t last = count - 1u;
    uint32_t mine = work_of(values, length);
    uint32_t theirs = work_of(values + last * length, length);
    while (first != last) {
        if (mine * (PARTS - part) <= theirs * part) {
            mine += work_of(values + first++ * length, length);
        } else {
            theirs += work_of(values + --last * length, length);
        }
    }
    return first;
}

uint32_t pt_share_stretch(uint32_t count)
{
    return count < PT_SHARE_LEAST || !pt_share_fits(0) ? 0u : 4u * pt_core_cut(count / 4u);
}

uint32_t pt_share_words(const int8_t *values, uint32_t count)
{
    return count < PT_SHARE_LEAST || !pt_share_fits(0) || !tells(values, count)
               ? pt_share_stretch(count)
               : STRETCH * cut_by_work(values, count / STRETCH, STRETCH);
}

struct count {
    const uint8_t *bitmap;
    uint32_t row_length;
    uint32_t begin[2];
    uint32_t end[2];
};

static uint32_t half_count(const void *argument, uint32_t core)
{
    const struct count *job = argument;
    const uint32_t size = pt_bitmap_size(job->row_length);
    uint32_t scores = 0;
    for (uint32_t row = job->begin[core]; row < job->end[core]; ++row) {
        scores += pt_bitmap_count(job->bitmap + row * size, job->row_length);
    }
    return scores;
}

uint32_t pt_share_scores(const uint8_t *bitmap, uint32_t row_length, uint32_t rows)
{
    const bool few = rows < 2u || rows * row_length < 8u * PT_SHARE_LEAST || !pt_share_fits(0);
    const uint32_t cut = few ? 0u : pt_core_cut(rows);
    const struct count job = {bitmap, row_length, {0, cut}, {cut, rows}};
    return few ? half_count(&job, 1) : pt_share(half_count, &job);
}

struct pt_edges pt_share_edges(const struct pt_edges *edges, uint32_t row)
{
    struct pt_edges rest = *edges;
    if (rest.bitmap != NULL) {
        rest.scores += pt_share_scores(rest.bitmap, rest.row_length, row);
        rest.bitmap += row * pt_bitmap_size(rest.row_length);
    } else if (rest.scores != NULL) {
        rest.scores += row * rest.row_length;
    }
    rest.weights += row * rest.row_length;
    return rest;
}

uint32_t pt_share_rows(const int8_t *error, uint32_t rows)
{
    uint32_t wrong = 0;
    for (uint32_t row = 0; row < rows; ++row) {
        wrong += error[row] != 0 ? 1u : 0u;
    }
    if (wrong < 2u || !pt_share_fits(0)) {
        return 0;
    }
    /* Of an odd number core 0 has one more: core 1 begins later. */
    uint32_t row = 0;
    for (uint32_t left = pt_core_cut(wrong + 1u); left != 0u; ++row) {
        left -= error[row] != 0 ? 1u : 0u;
    }
    return row;
}

/* Core 0 makes so many output rows. */
static void forward_parts(const struct pt_shape *shape, uint32_t cut, struct pt_share_parts *parts)
{
    const uint32_t top = cut * shape->stride_h; /* of the padded input: where the rest begins */
    const uint32_t padding = top < shape->padding_h ? shape->padding_h - top : 0u;
    const uint32_t above = top - shape->padding_h + padding; /* input rows that it does not see */
    const uint32_t end = top - shape->stride_h + shape->kernel_h - shape->padding_h;
    struct pt_shape *first = &parts->of[0].shape;
    struct pt_shape *rest = &parts->of[1].shape;
    *first = *shape;
    *rest = *shape;
    first->out_h = (uint16_t)cut;
    first->in_h = end < shape->in_h ? (uint16_t)end : shape->in_h;
    rest->out_h = (uint16_t)(shape->out_h - cut);
    rest->in_h = (uint16_t)(shape->in_h - above);
    rest->padding_h = (uint8_t)padding;
    parts->of[0].input = 0;
    parts->of[0].output = 0;
    parts->of[1].input = above * shape->in_w * shape->in_c;
    parts->of[1].output = cut * shape->out_w * shape->out_c;
}

/* Where to cut `count` stretches of `rows` output rows: as the input in the middle of their windows
 * says, where there is as much. */
static uint32_t output_cut(const struct pt_shape *shape, const int8_t *input, uint32_t count,
                           uint32_t rows)
{
    const uint32_t length = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t middle = (shape->kernel_h - 1u) / 2u;
    const uint32_t step = rows * shape->stride_h;
    const uint32_t above = middle - shape->padding_h; /* huge where it would be negative */
    const bool inside = middle >= shape->padding_h && above + count * step <= shape->in_h;
    return cut_by_work(inside && input != NULL ? input + above * length : NULL, count,
                       step * length);
}

bool pt_share_forward(const struct pt_shape *shape, const int8_t *input,
                      struct pt_share_parts *parts)
{
    if (shape->out_h < 2u || !pt_share_fits(0)) {
        return false;
    }
    forward_parts(shape, output_cut(shape, input, shape->out_h, 1), parts);
    return true;
}

/* Core 0 makes about so many input rows. False: all errors reach those. */
static bool error_parts(const struct pt_shape *shape, uint32_t cut, struct pt_share_parts *parts)
{
    const uint32_t stride = shape->stride_h;
    /* So many errors reach above it. */
    uint32_t last = (cut + shape->padding_h + stride - 1u) / stride;
    last = last < shape->out_h ? last : shape->out_h;
    /* The first one that reaches it or below; where it begins below, so does the rest. */
    uint32_t begin = 0;
    while (begin < shape->out_h && begin * stride + shape->kernel_h <= cut + shape->padding_h) {
        ++begin;
    }
    if (begin == shape->out_h) {
        return false;
    }
    if (begin * stride > cut + shape->padding_h) {
        cut = begin * stride - shape->padding_h;
    }
    struct pt_shape *first = &parts->of[0].shape;
    struct pt_shape *rest = &parts->of[1].shape;
    *first = *shape;
    *rest = *shape;
    first->in_h = (uint16_t)cut;
    first->out_h = (uint16_t)last;
    rest->in_h = (uint16_t)(shape->in_h - cut);
    rest->out_h = (uint16_t)(shape->out_h - begin);
    rest->padding_h = (uint8_t)(cut + shape->padding_h - begin * stride);
    parts->of[0].input = 0;
    parts->of[0].output = 0;
    parts->of[1].input = cut * shape->in_w * shape->in_c;
    parts->of[1].output = begin * shape->out_w * shape->out_c;
    return true;
}

bool pt_share_error(const struct pt_shape *shape, struct pt_share_parts *parts)
{
    return shape->in_h >= 2u && pt_share_fits(0) &&
           error_parts(shape, pt_core_cut(shape->in_h), parts);
}

/* Pooled elements before an even row of the convolution's output. */
static uint32_t pooled_before(const struct pt_shape *shape, uint32_t row)
{
    return row / 2u * (shape->out_w / 2u) * shape->out_c;
}

bool pt_share_pool_forward(const struct pt_shape *shape, const int8_t *input,
                           struct pt_share_parts *parts)
{
    const uint32_t rows = shape->out_h / 2u;
    if (rows < 2u || !pt_share_fits(0)) {
        return false;
    }
    const uint32_t cut = 2u * output_cut(shape, input, rows, 2);
    forward_parts(shape, cut, parts);
    parts->of[1].output = pooled_before(shape, cut);
    return parts->of[1].output % 4u == 0u;
}

bool pt_share_pool_error(const struct pt_shape *shape, struct pt_share_parts *parts)
{
    if (shape->in_h < 2u || !pt_share_fits(0)) {
        return false;
    }
    const uint32_t map = shape->out_w * shape->out_c;
    struct pt_shape *first = &parts->of[0].shape;
    for (uint32_t cut = pt_core_cut(shape->in_h); cut < shape->in_h; ++cut) {
        if (!error_parts(shape, cut, parts)) {
            return false;
        }
        const uint32_t begin = parts->of[1].output / map;
        if (begin % 2u == 0u && pooled_before(shape, begin) % 4u == 0u) {
            /* A pooled row more does no harm: no window reaches it. */
            if (first->out_h % 2u != 0u && first->out_h < shape->out_h) {
                ++first->out_h;
            }
            parts->of[1].output = pooled_before(shape, begin);
            return true;
        }
    }
    return false;
}
