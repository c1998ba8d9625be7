#include "kernels/parallel/pt_share.h"

#include <stddef.h>

#include "kernels/parallel/pt_core.h"

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

void *pt_share_scratch(void)
{
    return core_scratch;
}

uint32_t pt_share_stretch(uint32_t count)
{
    return count < PT_SHARE_LEAST || !pt_share_fits(0) ? 0u : 4u * pt_core_cut(count / 4u);
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
    uint32_t row = 0;
    for (uint32_t left = pt_core_cut(wrong); left != 0u; ++row) {
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

bool pt_share_forward(const struct pt_shape *shape, struct pt_share_parts *parts)
{
    if (shape->out_h < 2u || !pt_share_fits(0)) {
        return false;
    }
    forward_parts(shape, pt_core_cut(shape->out_h), parts);
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

bool pt_share_pool_forward(const struct pt_shape *shape, struct pt_share_parts *parts)
{
    const uint32_t rows = shape->out_h / 2u;
    if (rows < 2u || !pt_share_fits(0)) {
        return false;
    }
    const uint32_t cut = 2u * pt_core_cut(rows);
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
