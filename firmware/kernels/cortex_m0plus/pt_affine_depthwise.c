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
    uint32_t lead;
    uint32_t inside;
    uint32_t tail;
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

/* Rows that lie above or below the input. */
static uint32_t *outside(const struct depthwise *d, uint32_t count, uint32_t *word)
{
    const uint32_t zero = (uint32_t)d->affine->zero_in[0];
    const uint32_t *end = word + count * d->pitch;
    while (word != end) {
        *word++ = zero + (zero << 16);
    }
    return word;
}

/* The words of one channel for outputs from row y on. */
static void gather_band(const struct depthwise *d, uint32_t c, uint32_t y, uint32_t outputs)
{
    const struct pt_shape *shape = d->shape;
    const uint32_t first = y * shape->stride_h; /* of the padded input, like `last` */
    const uint32_t last = first + (outputs - 1u) * shape->stride_h + shape->kernel_h;
    const uint32_t top = shape->padding_h;
    const uint32_t bottom = top + shape->in_h;
    const uint32_t from = first < top ? top : first;
    const uint32_t to = last > bottom ? bottom : last;
    const uint32_t row = (uint32_t)shape->in_w * shape->in_c;
    uint32_t *word = outside(d, from - first, d->words);
    struct pt_gather_job job = {
        .source = d->input + (from - top) * row + c,
        .step = shape->in_c,
        .jump = row - d->inside * shape->in_c,
        .words = word,
        .end = word + (to - from) * d->pitch,
        .lead = d->lead,
        .inside = d->inside,
        .tail = d->tail,
        .zero = d->affine->zero_in[0],
    };
    (shape->stride_w == 1u ? pt_affine_gather_1 : pt_affine_gather_2)(&job);
    outside(d, last - to, word + (to - from) * d->pitch);
}

__attribute__((noinline)) static void forward_taps(const struct depthwise *d, uint32_t c,
                                                   struct pt_taps_job *job, int32_t sum)
{
    const struct pt_shape *shape = d->shape;
    const struct pt_factor *factor = &d->affine->factor[c];
    const uint32_t zeros = (uint32_t)(d->affine->zero_in[0] * sum);
    const int32_t bias = (int32_t)((uint32_t)factor->bias - zeros);
    int8_t *output = d->output + c;
    for (uint32_t y = 0, outputs; y != shape->out_h; y += outputs) {
        outputs = shape->out_h - y < d->band ? shape->out_h - y : d->band;
        const uint32_t count = outputs * shape->out_w;
        gather_band(d, c, y, outputs);
        job->rows = outputs;
        pt_affine_taps(job);
        pt_affine_scale_sums(d->affine, factor, d->sums, count, bias, output, shape->in_c);
        output += count * shape->in_c;
    }
}

/* What the jobs of all channels share. */
static void plan_job(const struct depthwise *d, struct pt_taps_job *job)
{
    const struct pt_shape *shape = d->shape;
    job->words = d->words + shape->stride_w;
    job->sums = d->sums;
    job->row = 4u * d->pitch;
    job->pair = 8u * shape->stride_w;
    job->pairs = job->pair * ((shape->out_w + 1u) / 2u);
    job->next_row = job->row * shape->stride_h;
    job->odd = 4u * (shape->out_w & 1u);
}

/* Widens the weights; false where two that are added up in 16 bits are both -128. */
static bool widen(const int8_t *weights, int32_t *wide, int32_t *sum)
{
    bool fit = true;
    *sum = 0;
    for (uint32_t tap = 0; tap < TAPS; ++tap) {
        wide[tap] = weights[tap];
        *sum += weights[tap];
        if (tap % 2u == 1u && wide[tap - 1u] + wide[tap] == 2 * INT8_MIN) {
            fit = false;
        }
    }
    return fit;
}

static bool any(const int32_t *weights)
{
    int32_t bits = 0;
    for (uint32_t tap = 0; tap < TAPS; ++tap) {
        bits |= weights[tap];
    }
    return bits != 0;
}

static void plan_taps(struct depthwise *d, void *scratch)
{
    const struct pt_shape *shape = d->shape;
    d->pitch = pt_affine_depthwise_pitch(shape);
    d->band = pt_affine_depthwise_band(shape);
    d->words = (uint32_t *)((int8_t *)scratch + pt_round4(TAPS));
    d->sums = (int32_t *)(d->words + d->pitch * ((d->band - 1u) * shape->stride_h + 3u));
    const uint32_t right = d->pitch - shape->padding_w;
    d->lead = shape->padding_w;
    d->inside = right < shape->in_w ? right : shape->in_w;
    d->tail = right - d->inside;
}

void pt_affine_depthwise_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                            const struct pt_edges *edges, const int8_t *input, void *scratch,
                            int8_t *output)
{
    const bool taps = shape->kernel_h == 3u && shape->kernel_w == 3u;
    struct depthwise d;
    struct pt_taps_job job;
    struct pt_edges left = *edges;
    d.shape = shape;
    d.affine = affine;
    d.input = input;
    d.output = output;
    pt_affine_rows_at(&d.rows, affine, (uint32_t)shape->kernel_h * shape->kernel_w,
                      pt_shape_positions(shape), scratch);
    if (taps) {
        plan_taps(&d, scratch);
        plan_job(&d, &job);
    }
    for (uint32_t c = 0; c < shape->in_c; ++c) {
        const int8_t *weights = pt_edges_next_row(&left, d.rows.row);
        int32_t sum = 0;
        if (!taps || !widen(weights, job.weights, &sum)) {
            forward_patches(&d, c, weights);
        } else if (affine->factor[c].multiplier == 0 || (PT_SKIP_ZEROS && !any(job.weights))) {
            pt_affine_fill(affine, &affine->factor[c], pt_shape_positions(shape), output + c,
                           shape->in_c);
        } else {
            forward_taps(&d, c, &job, sum);
        }
    }
}
