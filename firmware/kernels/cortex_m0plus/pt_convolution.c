#include "kernels/cortex_m0plus/pt_convolution.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_byte_order.h"
#include "kernels/cortex_m0plus/pt_conv2d_pool_inner.h"
#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_numerics.h"
#include "kernels/pt_overlap.h"
#include "kernels/pt_skips.h"

static void carve(struct pt_convolution *c, void *scratch)
{
    c->most = c->places == NULL ? c->width * c->channels : c->width / 2u * c->channels;
    c->row_words = 2u * c->most + c->width + 2u * c->padding_w + 2u;
    c->lists = scratch;
    c->lanes = c->lists + c->kernel_h * c->row_words;
    c->lists_end = c->lanes;
    c->sums = (int32_t *)(c->lanes + c->kernel_h * c->kernel_w * c->channels * PT_LANE_WORDS);
    c->row = (int8_t *)(c->sums + c->target_w * PT_LANES);
}

static uintptr_t address_base(const struct pt_convolution *c)
{
    return sizeof(void *) == sizeof(uint32_t) ? 0u : (uintptr_t)c->lists;
}

/* Rows share kernel_h lists, one after the other. */
static uint32_t *list_after(const struct pt_convolution *c, uint32_t *list)
{
    list += c->row_words;
    return list == c->lists_end ? c->lists : list;
}

/* A list is followed by its index. */
static uint32_t *index_of(const struct pt_convolution *c, uint32_t *list)
{
    return list + 2u * c->most;
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

/* Where all entries so far end. */
static uint32_t end_of(const struct pt_convolution *c, const struct pt_entry *entry)
{
    return (uint32_t)((uintptr_t)entry - address_base(c));
}

/* Appends the errors that lie at their places in row `listed`, whose pool has errors from `at` on,
 * and notes where each column begins. */
static struct pt_entry *list_errors(const struct pt_convolution *c, uint32_t at, uint32_t offset,
                                    struct pt_entry *entry, uint32_t *index)
{
    const uint32_t end = at + c->width / 2u * c->channels;
    for (; at != end; at += c->channels) {
        for (uint32_t side = 0; side < 2u; ++side) {
            const uint32_t here = c->listed % 2u * 2u + side;
            *index++ = end_of(c, entry);
            for (uint32_t i = at; i < at + c->channels; ++i, offset += ELEMENT) {
                if (pt_place_of(c->places, i) == here) {
                    entry = list_value(entry, offset, c->source[i]);
                }
            }
        }
    }
    return entry;
}

/* The same row, and the column and the row that no window has. */
static void list_at_places(const struct pt_convolution *c, uint32_t offset,
                           struct pt_entry **entries, uint32_t *index)
{
    const uint32_t width = c->width / 2u;
    const uint32_t at = c->listed / 2u * width * c->channels;
    const uint32_t *end = index + c->width;
    if (c->listed < c->height / 2u * 2u) {
        if (c->channels % 4u == 0u && (uintptr_t)c->source % 4u == 0u) {
            struct pt_places_list job = {
                c->source + at,  c->places + at / 4u, *entries,
                index,           index + 2u * width,  offset,
                c->channels / 4u, c->listed % 2u != 0u ? 0xaau : 0u, address_base(c),
            };
            pt_list_places(&job);
            *entries = job.entry;
        } else {
            *entries = list_errors(c, at, offset, *entries, index);
        }
        index += 2u * width;
    }
    while (index != end) {
        *index++ = end_of(c, *entries);
    }
}

/* Appends a row, and notes where each pixel begins. */
static void list_pixels(struct pt_convolution *c, uint32_t offset, struct pt_entry **entries,
                        uint32_t *index)
{
    const int8_t *pixel = c->source + c->listed * c->width * c->channels;
    uint32_t bits;
    if (c->channels % 4u == 0u && (uintptr_t)pixel % 4u == 0u) {
        struct pt_list_job job = {
            pixel,  *entries, index, index + c->width, offset, c->channels / 4u,
            0,      address_base(c),
        };
        pt_list_words(&job);
        *entries = job.entry;
        bits = job.bits;
    } else {
        bits = list_bytes(pixel, c->width, c->channels, offset, (uint32_t)address_base(c),
                          entries, index);
    }
    c->negative = c->negative || (bits & 0x80808080u) != 0u;
}

static void list_next_row(struct pt_convolution *c)
{
    const uint32_t base = (uint32_t)address_base(c);
    const uint32_t offset = c->padding_w * c->channels * ELEMENT;
    struct pt_entry *first = (struct pt_entry *)c->next;
    struct pt_entry *entry = first;
    uint32_t *index = index_of(c, c->next);
    for (uint32_t x = 0; x < c->padding_w; ++x) {
        *index++ = (uint32_t)(uintptr_t)entry - base;
    }
    if (c->places != NULL) {
        list_at_places(c, offset, &entry, index);
    } else {
        list_pixels(c, offset, &entry, index);
    }
    index += c->width;
    for (uint32_t x = 0; x <= c->padding_w; ++x) {
        *index++ = (uint32_t)(uintptr_t)entry - base;
    }
    *index = c->measured ? sum_magnitudes(first, entry) : PT_ERROR_BUDGET + 1u;
    c->next = list_after(c, c->next);
    ++c->listed;
}

static bool list_empty(const struct pt_convolution *c, const uint32_t *index)
{
    return index[0] == index[c->width + 2u * c->padding_w];
}

static enum pt_magnitude magnitude_of(uint32_t sum)
{
    return sum <= PT_ERROR_BUDGET ? PT_SMALL : PT_LARGE;
}

/* Windows at either end of a row that have no input are not walked: job's positions come to include
 * those with input in a list. */
static void widen(const struct pt_convolution *c, const uint32_t *index, const uint32_t *last,
                  struct pt_lanes_job *job)
{
    const uint32_t step = c->stride;
    const uint32_t begin = *index;
    const uint32_t end = *last;
    const uint32_t *window = index + c->kernel_w;
    uint32_t at = 0;
    for (; at != job->first && *window == begin; window += step) {
        ++at;
    }
    job->first = at;
    at = c->target_w;
    for (window = index + at * step; at != job->positions && *(window -= step) == end;) {
        --at;
    }
    job->positions = at;
}

/*
 * One channel: the source rows [first, first + rows) in one list, column by column, for kernel rows
 * from `begin` on. A window then is one stretch of the list, and finding it costs a third.
 */
static enum pt_magnitude list_columns(struct pt_convolution *c, uint32_t first, uint32_t begin,
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
        return PT_LARGE;
    }
    if (end != list) {
        widen(c, index, last, job);
    }
    if (job->first >= job->positions) {
        return PT_NONE;
    }
    c->magnitudes = c->measured ? sum_magnitudes(list, end) : PT_ERROR_BUDGET + 1u;
    return magnitude_of(c->magnitudes);
}

enum pt_magnitude pt_convolution_rows_under(struct pt_convolution *c, uint32_t y,
                                            struct pt_lanes_row *rows, struct pt_lanes_job *job)
{
    const uint32_t index_words = c->width + 2u * c->padding_w + 1u;
    const uint32_t kernel_row = c->kernel_w * c->channels * PT_LANE_WORDS;
    uint32_t magnitudes = 0;
    uint32_t begin;
    uint32_t end;
    pt_overlap_clip(y, c->stride, c->padding_h, c->kernel_h, c->height, &begin, &end);
    const uint32_t first = y * c->stride + begin - c->padding_h;
    job->rows = rows;
    if (PT_SKIP_ZEROS) {
        job->first = c->target_w;
        job->positions = 0;
    }
    if (c->merged) {
        job->rows_end = rows + 1;
        return begin == end ? PT_NONE : list_columns(c, first, begin, end - begin, rows, job);
    }
    while (c->listed < first + (end - begin)) {
        list_next_row(c);
    }
    uint32_t *list = c->lists + first % c->kernel_h * c->row_words;
    for (uint32_t k = begin; k < end; ++k, list = list_after(c, list)) {
        const uint32_t *index = index_of(c, list);
        if (!PT_SKIP_ZEROS || !list_empty(c, index)) {
            if (PT_SKIP_ZEROS) {
                widen(c, index, index + index_words - 1, job);
            }
            rows->index = index;
            magnitudes += index[index_words];
            rows->lanes = c->lanes + k * kernel_row;
            ++rows;
        }
    }
    job->rows_end = rows;
    c->magnitudes = magnitudes;
    return job->first < job->positions ? magnitude_of(magnitudes) : PT_NONE;
}

struct pt_lanes_job pt_convolution_job(const struct pt_convolution *c)
{
    struct pt_lanes_job job = {0};
    job.kernel_step = 4u * c->kernel_w;
    job.index_step = 4u * c->stride;
    job.lane_step = 16u * c->stride * c->channels;
    job.positions = c->target_w;
    job.base = address_base(c);
    return job;
}

void pt_convolution_sum(enum pt_magnitude magnitude, int32_t *output, uint32_t step,
                    struct pt_lanes_job *job)
{
    job->output = output;
    job->output_step = step;
    if (magnitude == PT_SMALL) {
        pt_lanes_row_small_s32(job);
    } else {
        pt_lanes_row_s32(job);
    }
}

void pt_convolution_sum_row(const struct pt_convolution *c, enum pt_magnitude magnitude,
                          struct pt_lanes_job *job)
{
    memset(c->sums, 0, c->target_w * PT_LANES * sizeof *c->sums);
    pt_convolution_sum(magnitude, c->sums, 4u * PT_LANES, job);
}

bool pt_convolution_any_negative(const int8_t *values, uint32_t count)
{
    uint32_t bits = ((uintptr_t)values | count) & 3u;
    for (const int8_t *end = values + count; bits == 0u && values != end; values += 4) {
        bits |= pt_load_word(values) & 0x80808080u;
    }
    return bits != 0u;
}

void pt_convolution_restart(struct pt_convolution *c, bool measured)
{
    c->measured = measured;
    c->listed = 0;
    c->next = c->lists;
    c->merged = c->channels == 1u && c->places == NULL;
    c->negative = false;
}

struct pt_convolution pt_convolution_forward(const struct pt_shape *shape, const int8_t *input,
                                     void *scratch)
{
    struct pt_convolution c = {
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

struct pt_convolution pt_convolution_error(const struct pt_shape *shape, const int8_t *error,
                                           const uint8_t *places, void *scratch)
{
    struct pt_convolution c = {
        .source = error,
        .places = places,
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
    return c;
}

/* One effective row into its half of the lanes, four weights at a time; even channels first. */
static void pack_row(uint32_t *lanes, const int8_t *row, uint32_t length, uint32_t channel)
{
    const int8_t *end = row + length;
    const int8_t *fours = row + (length & ~3u);
    lanes += channel / 2u;
    if (channel % 2u == 0u) {
        for (; row != fours; row += 4, lanes += 4 * PT_LANE_WORDS) {
            lanes[0] = (uint32_t)(int32_t)row[0];
            lanes[PT_LANE_WORDS] = (uint32_t)(int32_t)row[1];
            lanes[2 * PT_LANE_WORDS] = (uint32_t)(int32_t)row[2];
            lanes[3 * PT_LANE_WORDS] = (uint32_t)(int32_t)row[3];
        }
        for (; row != end; lanes += PT_LANE_WORDS) {
            *lanes = (uint32_t)(int32_t)*row++;
        }
    } else {
        for (; row != fours; row += 4, lanes += 4 * PT_LANE_WORDS) {
            lanes[0] += (uint32_t)(int32_t)row[0] << 16;
            lanes[PT_LANE_WORDS] += (uint32_t)(int32_t)row[1] << 16;
            lanes[2 * PT_LANE_WORDS] += (uint32_t)(int32_t)row[2] << 16;
            lanes[3 * PT_LANE_WORDS] += (uint32_t)(int32_t)row[3] << 16;
        }
        for (; row != end; lanes += PT_LANE_WORDS) {
            *lanes += (uint32_t)(int32_t)*row++ << 16;
        }
    }
}

uint32_t pt_convolution_pack(const struct pt_convolution *c, struct pt_edges *edges, uint32_t left)
{
    const uint32_t count = left < PT_LANES ? left : PT_LANES;
    if (count < PT_LANES) {
        memset(c->lanes, 0, edges->row_length * PT_LANE_WORDS * sizeof *c->lanes);
    }
    for (uint32_t channel = 0; channel < count; ++channel) {
        pack_row(c->lanes, pt_edges_next_row(edges, c->row), edges->row_length, channel);
    }
    return count;
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

void pt_convolution_pack_transposed(const struct pt_convolution *c, const struct pt_shape *shape,
                                    uint32_t first, uint32_t end, const struct pt_edges *edges,
                                    uint32_t begin, uint32_t count)
{
    struct pt_edges left = *edges;
    const uint32_t taps = c->kernel_h * c->kernel_w;
    const uint32_t step = shape->out_c * PT_LANE_WORDS;
    uint32_t *last = c->lanes + (taps - 1u) * step + first * PT_LANE_WORDS;
    for (uint32_t row = first; row < end; ++row, last += PT_LANE_WORDS) {
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

/* Of a part, whose lanes lie where they do for the whole. */
static struct pt_convolution error_of(const struct pt_shape *shape, bool pooled, void *scratch)
{
    return pt_convolution_error(shape, NULL, pooled ? scratch : NULL, scratch);
}

void pt_conv2d_error_pack(const struct pt_shape *shape, bool pooled, uint32_t begin, uint32_t end,
                          const struct pt_edges *edges, void *shared, void *scratch)
{
    struct pt_convolution c = error_of(shape, pooled, scratch);
    c.lanes = error_of(shape, pooled, shared).lanes;
    pt_convolution_pack_transposed(&c, shape, begin, end, edges, 0, shape->in_c);
}
