#include <stdbool.h>

#include "kernels/cortex_m0plus/pt_affine_depthwise_inner.h"
#include "kernels/cortex_m0plus/pt_affine_rows.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/pt_skips.h"

enum { TAPS = 9 };

struct depthwise {
    const struct pt_shape *shape;
    const struct pt_affine *affine;
    const int8_t *input;
    int8_t *output;
    struct pt_affine_rows rows; /* for kernels that are not 3x3, and weights that are -128 */
    /* 3x3: */
    uint32_t *words;
    int32_t *sums;
    uint32_t pitch; /* words of a row */
    uint32_t band;  /* rows of outputs that are made together */
    bool ready;     /* what lies outside the input stands there, and for all channels */
    const int8_t *from; /* the first channel's first element of the band */
    struct pt_gather_job gather;
    struct pt_taps_job job;
};

/* One channel's patch under the window at y, x. */
static void gather(const struct pt_shape *shape, const int8_t *input, int32_t zero, uint32_t y,
                   uint32_t x, int8_t *patch)
{
    const uint32_t channels = shape->in_c;
    const struct pt_overlap window = pt_overlap_at(shape, y, x);
    memset(patch, zero, (uint32_t)shape->kernel_h * shape->kernel_w);
    int8_t *to = patch + window.row_begin * shape->kernel_w + window.kernel_start / channels;
    const int8_t *from = input + window.input_start;
    for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
        int8_t *next = to;
        for (uint32_t i = 0; i < window.length; i += channels) {
            *next++ = from[i];
        }
        to += shape->kernel_w;
        from += (uint32_t)shape->in_w * channels;
    }
}

/* Any kernel: patch by patch, as a convolution of one channel. */
__attribute__((noinline)) static void forward_patches(const struct depthwise *d, uint32_t c,
                                                      const int8_t *weights)
{
    const struct pt_shape *shape = d->shape;
    const struct pt_affine_rows *rows = &d->rows;
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t channels = shape->in_c;
    uint32_t y = 0;
    uint32_t x = 0;
    for (uint32_t done = 0, count; done != positions; done += count) {
        count = positions - done < rows->tile ? positions - done : rows->tile;
        for (uint32_t i = 0; i < count; ++i) {
            gather(shape, d->input + c, d->affine->zero_in[0], y, x, rows->patch[i & 1u]);
            if (++x == shape->out_w) {
                x = 0;
                ++y;
            }
            if ((i & 1u) != 0u || i + 1u == count) {
                /* Alone at the end, it is its own neighbour. */
                pt_affine_rows_put(rows, i, rows->patch[0], rows->patch[i & 1u]);
            }
        }
        pt_affine_rows_forward(rows, weights, &d->affine->factor[c], count,
                               d->output + done * channels + c, channels);
    }
}

__attribute__((noinline)) static void outside(const struct depthwise *d, uint32_t *word,
                                             uint32_t count)
{
    const uint32_t zero = (uint32_t)d->affine->zero_in[0];
    for (const uint32_t *end = word + count; word != end;) {
        *word++ = zero + (zero << 16);
    }
}

/* Where the words for outputs from row y on come from and go to, and those outside the input. */
__attribute__((noinline)) static void plan_band(struct depthwise *d, uint32_t y, uint32_t outputs)
{
    const struct pt_shape *shape = d->shape;
    const uint32_t first = y * shape->stride_h; /* of the padded input, like `last` */
    const uint32_t last = first + (outputs - 1u) * shape->stride_h + shape->kernel_h;
    const uint32_t top = shape->padding_h;
    const uint32_t bottom = top + shape->in_h;
    const uint32_t from = first < top ? top : first;
    const uint32_t to = last > bottom ? bottom : last;
    const uint32_t above = (from - first) * d->pitch + shape->padding_w;
    outside(d, d->words, above);
    d->gather.words = d->words + above;
    d->gather.end = d->gather.words + (to - from) * d->pitch;
    outside(d, d->words + (to - first) * d->pitch, (last - to) * d->pitch);
    d->from = d->input + (from - top) * shape->in_w * shape->in_c;
    d->job.rows = outputs;
    d->ready = outputs == shape->out_h;
}

__attribute__((noinline)) static void forward_taps(struct depthwise *d, uint32_t c, int32_t sum)
{
    const struct pt_shape *shape = d->shape;
    const struct pt_factor *factor = &d->affine->factor[c];
    d->job.start = (uint32_t)factor->bias - (uint32_t)(d->affine->zero_in[0] * sum);
    int8_t *output = d->output + c;
    for (uint32_t y = 0, outputs; y != shape->out_h; y += outputs) {
        outputs = shape->out_h - y < d->band ? shape->out_h - y : d->band;
        if (!d->ready) {
            plan_band(d, y, outputs);
        }
        const uint32_t count = outputs * shape->out_w;
        d->gather.source = d->from + c;
        (shape->stride_w == 1u ? pt_affine_gather_1 : pt_affine_gather_2)(&d->gather);
        pt_affine_taps(&d->job);
        pt_affine_scale_sums(d->affine, factor, d->sums, count, output, shape->in_c);
        output += count * shape->in_c;
    }
}

/* For pt_affine_taps; returns the sum of the weights, `least` is the smallest. */
static int32_t put(const int8_t *w, struct pt_taps_job *job, int32_t *least)
{
    const bool pairs = job->pair == 8u;
    uint32_t *words = job->weights;
    int32_t sum = 0;
    int32_t smallest = 0;
    for (const int8_t *end = w + TAPS; w != end; w += 3) {
        const int32_t first = w[0];
        const int32_t second = w[1];
        const int32_t third = w[2];
        smallest = first < smallest ? first : smallest;
        smallest = second < smallest ? second : smallest;
        smallest = third < smallest ? third : smallest;
        sum += first + second + third;
        if (pairs) {
            words[0] = (uint32_t)second + ((uint32_t)first << 16);
            words[3] = (uint32_t)third;
            words += 1;
        } else {
            words[0] = (uint32_t)first;
            words[1] = (uint32_t)second;
            words[2] = (uint32_t)third;
            words += 3;
        }
    }
    *least = smallest;
    return sum;
}

/* What all channels share. */
static void plan_taps(struct depthwise *d, void *scratch)
{
    const struct pt_shape *shape = d->shape;
    d->pitch = pt_affine_depthwise_pitch(shape);
    d->band = pt_affine_depthwise_band(shape);
    d->words = (uint32_t *)((int8_t *)scratch + pt_round4(TAPS));
    d->sums = (int32_t *)(d->words + d->pitch * ((d->band - 1u) * shape->stride_h + 3u));
    d->ready = false;
    const uint32_t right = d->pitch - shape->padding_w;
    struct pt_gather_job *gather = &d->gather;
    gather->step = shape->in_c;
    gather->inside = right < shape->in_w ? right : shape->in_w;
    gather->gap = d->pitch - gather->inside;
    gather->jump = (shape->in_w - gather->inside) * shape->in_c;
    gather->zero = d->affine->zero_in[0];
    struct pt_taps_job *job = &d->job;
    job->words = d->words + shape->stride_w;
    job->sums = d->sums;
    job->row = 4u * d->pitch;
    job->pair = 8u * shape->stride_w;
    job->pairs = job->pair * ((shape->out_w + 1u) / 2u);
    job->next_row = job->row * shape->stride_h;
    job->odd = 4u * (shape->out_w & 1u);
}

void pt_affine_depthwise_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                            const struct pt_edges *edges, const int8_t *input, void *scratch,
                            int8_t *output)
{
    const bool taps = shape->kernel_h == 3u && shape->kernel_w == 3u;
    struct depthwise d;
    struct pt_edges left = *edges;
    d.shape = shape;
    d.affine = affine;
    d.input = input;
    d.output = output;
    pt_affine_rows_at(&d.rows, affine, (uint32_t)shape->kernel_h * shape->kernel_w,
                      pt_shape_positions(shape), scratch);
    if (taps) {
        plan_taps(&d, scratch);
    }
    for (uint32_t c = 0; c < shape->in_c; ++c) {
        const int8_t *weights = pt_edges_next_row(&left, d.rows.row);
        int32_t least = INT8_MIN;
        const int32_t sum = taps ? put(weights, &d.job, &least) : 0;
        if (least == INT8_MIN) {
            forward_patches(&d, c, weights);
            d.ready = false;
        } else if (affine->factor[c].multiplier == 0 ||
                   (PT_SKIP_ZEROS && sum == 0 && least == 0)) {
            pt_affine_fill(affine, &affine->factor[c], pt_shape_positions(shape), output + c,
                           shape->in_c);
        } else {
            forward_taps(&d, c, sum);
        }
    }
}
