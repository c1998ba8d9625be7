#include "kernels/pt_conv2d.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_byte_order.h"
#include "kernels/cortex_m0plus/pt_conv2d_inner.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"

enum { MAX_KERNEL = 15 /* docs/numerics.md, section 12 */, LANE_WORDS = PT_LANES / 2 };

/* A stride-1 or -2 convolution of any tensor with weights in lanes. */
struct convolution {
    const int8_t *source; /* [height, width, channels] */
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
    uint32_t row_words; /* of one list: entries, index, sum of the magnitudes */
    uint32_t *lists;    /* kernel_h of them, row y in list y % kernel_h, or one; the lanes follow */
    uint32_t *lanes;    /* [kernel_h, kernel_w, channels, LANE_WORDS] */
    int32_t *sums;      /* [target_w, PT_LANES] */
    int8_t *row;        /* one effective row of edges */
    uint32_t listed;    /* rows listed so far */
    uint32_t *next;     /* list of row `listed` */
    bool negative;      /* a listed value was */
    bool measured;      /* whether lists hold the sum of their magnitudes */
    bool merged;        /* one channel: one list for each target row, not for each source row */
};

static void carve(struct convolution *c, void *scratch)
{
    c->row_words = 2u * c->width * c->channels + c->width + 2u * c->padding_w + 2u;
    c->lists = scratch;
    c->lanes = c->lists + c->kernel_h * c->row_words;
    c->sums = (int32_t *)(c->lanes + c->kernel_h * c->kernel_w * c->channels * LANE_WORDS);
    c->row = (int8_t *)(c->sums + c->target_w * PT_LANES);
}

static uintptr_t address_base(const struct convolution *c)
{
    return sizeof(void *) == sizeof(uint32_t) ? 0u : (uintptr_t)c->lists;
}

/* Rows share kernel_h lists, one after the other. */
static uint32_t *list_after(const struct convolution *c, uint32_t *list)
{
    list += c->row_words;
    return list == c->lanes ? c->lists : list;
}

/* A list is followed by its index. */
static uint32_t *index_of(const struct convolution *c, uint32_t *list)
{
    return list + 2u * c->width * c->channels;
}

/* Appends one element unless it is 0. */
static struct pt_entry *list_value(struct pt_entry *entry, uint32_t offset, int32_t value)
{
    if (!PT_SKIP_ZEROS || value != 0) {
        entry->value = value;
        entry->offset = offset;
        ++entry;
    }
    return entry;
}

/* A step of one element in the lane offset of an entry. */
enum { ELEMENT = 16 };

/* Appends a row of pixels, notes where each begins, and returns all bits there were. */
static uint32_t list_bytes(const int8_t *pixel, uint32_t width, uint32_t channels,
                           uint32_t offset, uint32_t base, struct pt_entry **entries,
                           uint32_t *index)
{
    struct pt_entry *entry = *entries;
    int32_t bits = 0;
    for (const uint32_t *end = index + width; index != end;) {
        *index++ = (uint32_t)(uintptr_t)entry - base;
        for (const int8_t *next = pixel + channels; pixel != next; offset += ELEMENT) {
            const int32_t value = *pixel++;
            entry = list_value(entry, offset, value);
            bits |= value;
        }
    }
    *entries = entry;
    return (uint32_t)bits;
}

__attribute__((noinline)) static uint32_t sum_magnitudes(const struct pt_entry *entry,
                                                         const struct pt_entry *end)
{
    uint32_t sum = 0;
    for (; entry != end; ++entry) {
        sum += pt_abs_s32(entry->value);
    }
    return sum;
}

static void list_next_row(struct convolution *c)
{
    const int8_t *pixel = c->source + c->listed * c->width * c->channels;
    const uint32_t base = (uint32_t)address_base(c);
    const uint32_t offset = c->padding_w * c->channels * ELEMENT;
    struct pt_entry *first = (struct pt_entry *)c->next;
    struct pt_entry *entry = first;
    uint32_t *index = index_of(c, c->next);
    uint32_t bits;
    for (uint32_t x = 0; x < c->padding_w; ++x) {
        *index++ = (uint32_t)(uintptr_t)entry - base;
    }
    if (c->channels % 4u == 0u && (uintptr_t)pixel % 4u == 0u) {
        struct pt_list_job job = {
            pixel, entry, index, index + c->width, offset, c->channels / 4u, 0, address_base(c),
        };
        pt_list_words(&job);
        entry = job.entry;
        bits = job.bits;
    } else {
        bits = list_bytes(pixel, c->width, c->channels, offset, base, &entry, index);
    }
    index += c->width;
    for (uint32_t x = 0; x <= c->padding_w; ++x) {
        *index++ = (uint32_t)(uintptr_t)entry - base;
    }
    *index = c->measured ? sum_magnitudes(first, entry) : PT_ERROR_BUDGET + 1u;
    c->negative = c->negative || (bits & 0x80808080u) != 0u;
    c->next = list_after(c, c->next);
    ++c->listed;
}

static bool list_empty(const struct convolution *c, const uint32_t *index)
{
    return index[0] == index[c->width + 2u * c->padding_w];
}

enum magnitude { NONE, SMALL, LARGE }; /* SMALL: all together fit PT_ERROR_BUDGET */

static enum magnitude magnitude_of(uint32_t sum)
{
    return sum <= PT_ERROR_BUDGET ? SMALL : LARGE;
}

/*
 * One channel: the source rows [first, first + rows) in one list, column by column, for kernel rows
 * from `begin` on. A window then is one stretch of the list, and finding it costs a third.
 */
static enum magnitude list_columns(const struct convolution *c, uint32_t first, uint32_t begin,
                                   uint32_t rows, struct pt_lanes_row *row,
                                   struct pt_lanes_job *job)
{
    const uint32_t base = (uint32_t)address_base(c);
    struct pt_entry *list = (struct pt_entry *)c->lists;
    uint32_t *index = c->lists + 2u * c->width * c->kernel_h;
    struct pt_columns_list job_of_list = {
        c->source + first * c->width, list, index + c->padding_w, index + c->padding_w + c->width,
        (begin * c->kernel_w + c->padding_w) * ELEMENT, c->width, rows * c->width,
        c->kernel_w * ELEMENT, address_base(c),
    };
    row->index = index;
    row->lanes = c->lanes;
    for (uint32_t x = 0; x < c->padding_w; ++x) {
        index[x] = (uint32_t)(uintptr_t)list - base;
    }
    pt_list_columns(&job_of_list);
    const struct pt_entry *end = job_of_list.entry;
    uint32_t *last = job_of_list.index;
    for (uint32_t x = 0; x <= c->padding_w; ++x) {
        last[x] = (uint32_t)(uintptr_t)end - base;
    }
    if (!PT_SKIP_ZEROS) {
        return LARGE;
    }
    /* Windows at either end that have no input are not walked. */
    const uint32_t step = c->stride;
    const uint32_t *window = index;
    uint32_t left = 0;
    for (; left != c->target_w && window[c->kernel_w] == *index; window += step) {
        ++left;
    }
    uint32_t right = c->target_w;
    for (window = index + (right - 1u) * step; right != left && *window == *last; window -= step) {
        --right;
    }
    job->first = left;
    job->positions = right;
    return left == right ? NONE : magnitude_of(c->measured ? sum_magnitudes(list, end)
                                                           : PT_ERROR_BUDGET + 1u);
}

/* Points `job` at the lists under target row y; says how much there is. */
static enum magnitude rows_under(struct convolution *c, uint32_t y, struct pt_lanes_row *rows,
                                 struct pt_lanes_job *job)
{
    const uint32_t index_words = c->width + 2u * c->padding_w + 1u;
    const uint32_t kernel_row = c->kernel_w * c->channels * LANE_WORDS;
    uint32_t magnitudes = 0;
    uint32_t begin;
    uint32_t end;
    pt_overlap_clip(y, c->stride, c->padding_h, c->kernel_h, c->height, &begin, &end);
    const uint32_t first = y * c->stride + begin - c->padding_h;
    job->rows = rows;
    if (c->merged) {
        job->rows_end = rows + 1;
        return begin == end ? NONE : list_columns(c, first, begin, end - begin, rows, job);
    }
    while (c->listed < first + (end - begin)) {
        list_next_row(c);
    }
    uint32_t *list = c->lists + first % c->kernel_h * c->row_words;
    for (uint32_t k = begin; k < end; ++k, list = list_after(c, list)) {
        const uint32_t *index = index_of(c, list);
        if (!PT_SKIP_ZEROS || !list_empty(c, index)) {
            rows->index = index;
            magnitudes += index[index_words];
            rows->lanes = c->lanes + k * kernel_row;
            ++rows;
        }
    }
    job->rows_end = rows;
    return job->rows == rows ? NONE : magnitude_of(magnitudes);
}

static struct pt_lanes_job start_job(const struct convolution *c)
{
    struct pt_lanes_job job = {0};
    job.kernel_step = 4u * c->kernel_w;
    job.index_step = 4u * c->stride;
    job.lane_step = 16u * c->stride * c->channels;
    job.positions = c->target_w;
    job.base = address_base(c);
    return job;
}

/*
 * A row of accumulators, int32 [target_w, PT_LANES], `step` bytes from one to the next; windows
 * without input are left as they are.
 */
static void sum_row(enum magnitude magnitude, int32_t *output, uint32_t step,
                    struct pt_lanes_job *job)
{
    job->output = output;
    job->output_step = step;
    if (magnitude == SMALL) {
        pt_lanes_row_small_s32(job);
    } else {
        pt_lanes_row_s32(job);
    }
}

/* The same into c->sums, all of it. */
static void sum_whole_row(const struct convolution *c, enum magnitude magnitude,
                          struct pt_lanes_job *job)
{
    memset(c->sums, 0, c->target_w * PT_LANES * sizeof *c->sums);
    sum_row(magnitude, c->sums, 4u * PT_LANES, job);
}

/* Whether a value is negative, or may be: words alone are looked at. */
static bool any_negative(const int8_t *values, uint32_t count)
{
    uint32_t bits = ((uintptr_t)values | count) & 3u;
    for (const int8_t *end = values + count; bits == 0u && values != end; values += 4) {
        bits |= pt_load_word(values) & 0x80808080u;
    }
    return bits != 0u;
}

static void restart(struct convolution *c, bool measured)
{
    c->measured = measured;
    c->listed = 0;
    c->next = c->lists;
    c->merged = c->channels == 1u;
    c->negative = false;
}

/*
 * Accumulators of channels [begin, begin + count) into target [target_h, target_w, channels], which
 * is 0.
 */
static void convolve_s32(struct convolution *c, uint32_t count, uint32_t channels,
                         int32_t *target)
{
    struct pt_lanes_job job = start_job(c);
    struct pt_lanes_row rows[MAX_KERNEL];
    restart(c, true);
    for (uint32_t y = 0; y < c->target_h; ++y, target += c->target_w * channels) {
        const enum magnitude magnitude = rows_under(c, y, rows, &job);
        if (magnitude == NONE) {
            continue;
        }
        if (count == PT_LANES) {
            sum_row(magnitude, target, 4u * channels, &job);
            continue;
        }
        sum_whole_row(c, magnitude, &job);
        for (uint32_t x = 0; x < c->target_w; ++x) {
            for (uint32_t i = 0; i < count; ++i) {
                target[x * channels + i] = c->sums[x * PT_LANES + i];
            }
        }
    }
}

/* The same, requantised. */
static uint32_t convolve_s8(struct convolution *c, uint32_t count, uint32_t channels,
                            uint32_t shift, bool relu, int8_t *target)
{
    struct pt_lanes_job job = start_job(c);
    struct pt_lanes_row rows[MAX_KERNEL];
    uint32_t saturated = 0;
    restart(c, false);
    c->negative = c->merged && any_negative(c->source, c->height * c->width);
    job.shift = shift;
    for (uint32_t y = 0; y < c->target_h; ++y, target += c->target_w * channels) {
        const enum magnitude magnitude = rows_under(c, y, rows, &job);
        if (magnitude == NONE) {
            continue;
        }
        if (relu && count == PT_LANES && shift != 0u && !c->negative) {
            job.output = target;
            job.output_step = channels;
            pt_lanes_row_relu_s8(&job);
            continue;
        }
        sum_whole_row(c, magnitude, &job);
        for (uint32_t x = 0; x < c->target_w; ++x) {
            saturated += pt_requantize_s8(c->sums + x * PT_LANES, count, shift, relu,
                                          target + x * channels);
        }
    }
    return saturated + job.saturated;
}

static struct convolution forward_of(const struct pt_shape *shape, const int8_t *input,
                                     void *scratch)
{
    struct convolution c = {
        .source = input,
        .height = shape->in_h,
        .width = shape->in_w,
        .channels = shape->in_c,
        .kernel_h = shape->kernel_h,
        .kernel_w = shape->kernel_w,
        .stride = shape->stride_h,
        .padding_h = shape->padding_h,
        .padding_w = shape->padding_w,
        .target_h = shape->out_h,
        .target_w = shape->out_w,
    };
    carve(&c, scratch);
    return c;
}

/* One effective row into its half of the lanes; even channels first. */
static void pack_row(uint32_t *lanes, const int8_t *row, uint32_t length, uint32_t channel)
{
    const int8_t *end = row + length;
    lanes += channel / 2u;
    if (channel % 2u == 0u) {
        for (; row != end; lanes += LANE_WORDS) {
            *lanes = (uint32_t)(int32_t)*row++;
        }
    } else {
        for (; row != end; lanes += LANE_WORDS) {
            *lanes += (uint32_t)(int32_t)*row++ << 16;
        }
    }
}

/* The next block of output channels; returns how many there are. */
static uint32_t pack_channels(const struct convolution *c, struct pt_edges *edges, uint32_t left)
{
    const uint32_t count = left < PT_LANES ? left : PT_LANES;
    if (count < PT_LANES) {
        memset(c->lanes, 0, edges->row_length * LANE_WORDS * sizeof *c->lanes);
    }
    for (uint32_t channel = 0; channel < count; ++channel) {
        pack_row(c->lanes, pt_edges_next_row(edges, c->row), edges->row_length, channel);
    }
    return count;
}

void pt_conv2d_forward_s32(const struct pt_shape *shape, const int8_t *input,
                           const struct pt_edges *edges, void *scratch, int32_t *output)
{
    struct convolution c = forward_of(shape, input, scratch);
    struct pt_edges left = *edges;
    memset(output, 0, pt_shape_out_size(shape) * sizeof *output);
    for (uint32_t begin = 0; begin < shape->out_c; begin += PT_LANES) {
        const uint32_t count = pack_channels(&c, &left, shape->out_c - begin);
        convolve_s32(&c, count, shape->out_c, output + begin);
    }
}

uint32_t pt_conv2d_forward_s8(const struct pt_shape *shape, const int8_t *input,
                              const struct pt_edges *edges, uint32_t shift, bool relu,
                              void *scratch, int8_t *output)
{
    struct convolution c = forward_of(shape, input, scratch);
    struct pt_edges left = *edges;
    uint32_t saturated = 0;
    memset(output, 0, pt_shape_out_size(shape));
    for (uint32_t begin = 0; begin < shape->out_c; begin += PT_LANES) {
        const uint32_t count = pack_channels(&c, &left, shape->out_c - begin);
        saturated += convolve_s8(&c, count, shape->out_c, shift, relu, output + begin);
    }
    return saturated;
}

/* The weights of one tap and one row: `count` input channels, as PT_LANES. */
static void pack_tap(uint32_t *lanes, const int8_t *weight, uint32_t count)
{
    for (uint32_t i = 0; i < PT_LANES; i += 2u) {
        const int32_t low = i < count ? weight[i] : 0;
        const int32_t high = i + 1u < count ? weight[i + 1u] : 0;
        *lanes++ = (uint32_t)low + ((uint32_t)high << 16);
    }
}

static void pack_whole_tap(uint32_t *lanes, const int8_t *weight)
{
    lanes[0] = (uint32_t)(int32_t)weight[0] + ((uint32_t)(int32_t)weight[1] << 16);
    lanes[1] = (uint32_t)(int32_t)weight[2] + ((uint32_t)(int32_t)weight[3] << 16);
    lanes[2] = (uint32_t)(int32_t)weight[4] + ((uint32_t)(int32_t)weight[5] << 16);
    lanes[3] = (uint32_t)(int32_t)weight[6] + ((uint32_t)(int32_t)weight[7] << 16);
}

/* Input channels [begin, begin + count) of all rows, the kernel turned by 180 degrees. */
static void pack_transposed(const struct convolution *c, const struct pt_shape *shape,
                            const struct pt_edges *edges, uint32_t begin, uint32_t count)
{
    struct pt_edges left = *edges;
    const uint32_t taps = c->kernel_h * c->kernel_w;
    const uint32_t step = shape->out_c * LANE_WORDS;
    uint32_t *last = c->lanes + (taps - 1u) * step;
    for (uint32_t row = 0; row < shape->out_c; ++row, last += LANE_WORDS) {
        const int8_t *weight = pt_edges_next_row(&left, c->row) + begin;
        uint32_t *lanes = last;
        for (uint32_t tap = 0; tap < taps; ++tap) {
            if (count == PT_LANES) {
                pack_whole_tap(lanes, weight);
            } else {
                pack_tap(lanes, weight, count);
            }
            weight += shape->in_c;
            lanes -= step;
        }
    }
}

void pt_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                         const struct pt_edges *edges, void *scratch, int32_t *input_error)
{
    if (shape->stride_h != 1u) {
        /* Not a convolution: between its errors lie places without one. */
        pt_overlap_error_s32(shape, error, edges, scratch, input_error);
        return;
    }
    struct convolution c = {
        .source = error,
        .height = shape->out_h,
        .width = shape->out_w,
        .channels = shape->out_c,
        .kernel_h = shape->kernel_h,
        .kernel_w = shape->kernel_w,
        .stride = 1,
        .padding_h = shape->kernel_h - 1u - shape->padding_h,
        .padding_w = shape->kernel_w - 1u - shape->padding_w,
        .target_h = shape->in_h,
        .target_w = shape->in_w,
    };
    carve(&c, scratch);
    memset(input_error, 0, pt_shape_in_size(shape) * sizeof *input_error);
    for (uint32_t begin = 0; begin < shape->in_c; begin += PT_LANES) {
        const uint32_t left = shape->in_c - begin;
        const uint32_t count = left < PT_LANES ? left : PT_LANES;
        pack_transposed(&c, shape, edges, begin, count);
        convolve_s32(&c, count, shape->in_c, input_error + begin);
    }
}
