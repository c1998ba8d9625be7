#include "kernels/pt_conv2d.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cortex_m0plus/pt_byte_order.h"
#include "kernels/cortex_m0plus/pt_conv2d_gradient_inner.h"
#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_numerics.h"
#include "kernels/pt_skips.h"

/* The scratch of a gradient, in this order. */
struct gradient {
    int32_t *pairs; /* the padded input: with even channels two elements a word, else one and its
                       neighbour to the right, so that a window may begin anywhere */
    struct pt_position *position;
    uint32_t *count; /* of positions */
    struct pt_error *list;
    uint32_t pair_step; /* bytes from one pair of a window to the next */
    uint32_t row_bytes; /* of a padded row */
};

static struct gradient gradient_of(const struct pt_shape *shape, uint32_t positions,
                                   void *scratch)
{
    const uint32_t row = (shape->in_w + 2u * shape->padding_w) * shape->in_c;
    const uint32_t words = shape->in_c % 2u == 0u ? row / 2u : row;
    const uint32_t rows = shape->in_h + 2u * shape->padding_h;
    struct gradient g = {.pairs = (int32_t *)scratch + 1};
    g.pair_step = shape->in_c % 2u == 0u ? 4u : 8u;
    g.row_bytes = 4u * words;
    g.position = (struct pt_position *)(g.pairs + words * rows + 7);
    g.count = (uint32_t *)(g.position + positions);
    g.list = (struct pt_error *)(g.count + 1);
    return g;
}

static uint32_t pooled_positions(const struct pt_shape *shape)
{
    return (uint32_t)(shape->out_h / 2u) * (shape->out_w / 2u);
}

/* Byte `at` of a word, and times 2^16. */
static int32_t byte_of(uint32_t word, uint32_t at)
{
    return (int8_t)(uint8_t)(word >> 8u * at);
}

static int32_t upper_byte(uint32_t word, uint32_t at)
{
    return (int32_t)(word >> 8u * at << 24) >> 8;
}

static void pair_even(int32_t *pair, const int8_t *input, uint32_t width, bool words)
{
    const int8_t *end = input + width;
    for (; words && input != end; input += 4, pair += 2) {
        const uint32_t word = pt_load_word(input);
        if (!PT_SKIP_ZEROS || word != 0u) {
            pair[0] = byte_of(word, 0) + upper_byte(word, 1);
            pair[1] = byte_of(word, 2) + upper_byte(word, 3);
        }
    }
    for (; input != end; input += 2) {
        *pair++ = input[0] + input[1] * 65536;
    }
}

/* In front of the first pair is padding, or the end of the row above, which no window uses. */
static void pair_odd(int32_t *pair, const int8_t *input, uint32_t width, bool words)
{
    const int8_t *end = input + width;
    for (; words && input != end; input += 4, pair += 4) {
        const uint32_t word = pt_load_word(input);
        if (!PT_SKIP_ZEROS || word != 0u) {
            pair[-1] += upper_byte(word, 0);
            pair[0] = byte_of(word, 0) + upper_byte(word, 1);
            pair[1] = byte_of(word, 1) + upper_byte(word, 2);
            pair[2] = byte_of(word, 2) + upper_byte(word, 3);
            pair[3] = byte_of(word, 3);
        }
    }
    for (; input != end; ++pair) {
        const int32_t value = *input++;
        pair[0] += value;
        pair[-1] += value * 65536;
    }
}

/* Input row y, of so many values, into pairs that are 0. */
static inline __attribute__((always_inline)) void pair_row(
    const struct pt_shape *shape, const int8_t *input, uint32_t y, uint32_t width, bool even,
    bool words, const struct gradient *g)
{
    int32_t *row = g->pairs + (y + shape->padding_h) * (g->row_bytes / 4u);
    if (even) {
        pair_even(row + shape->padding_w * shape->in_c / 2u, input, width, words);
    } else {
        pair_odd(row + shape->padding_w * shape->in_c, input, width, words);
    }
}

static void pair_input(const struct pt_shape *shape, const int8_t *input,
                       const struct gradient *g)
{
    const uint32_t width = (uint32_t)shape->in_w * shape->in_c;
    const bool even = shape->in_c % 2u == 0u;
    const bool words = ((width | (uintptr_t)input) & 3u) == 0u;
    memset(g->pairs - 1, 0, g->row_bytes * (shape->in_h + 2u * shape->padding_h) + 32u);
    for (uint32_t y = 0; y < shape->in_h; ++y, input += width) {
        pair_row(shape, input, y, width, even, words, g);
    }
}

static bool any_byte(const int8_t *values, const int8_t *end)
{
    while (values != end && *values == 0) {
        ++values;
    }
    return values != end;
}

/* Notes the positions of one row that have an error. */
static struct pt_position *list_positions(const struct pt_shape *shape, const int8_t *error,
                                          uint32_t at, uint32_t row, uint32_t pairs,
                                          uint32_t pair_step, struct pt_position *position)
{
    const uint32_t channels = shape->out_c;
    const uint32_t end = at + row;
    error += at;
    if ((channels & 7u) == 0u && ((uintptr_t)error & 3u) == 0u) {
        struct pt_positions_job job = {error, at, end, pairs, pair_step, channels, position};
        pt_list_positions(&job);
        return job.position;
    }
    for (; at != end; at += channels, error += channels, pairs += pair_step) {
        if (!PT_SKIP_ZEROS || any_byte(error, error + channels)) {
            position->error = at;
            position->pairs = pairs;
            ++position;
        }
    }
    return position;
}

/* From the pairs of a position to those of the position beside it, and below it, in bytes. */
static uint32_t pairs_right(const struct pt_shape *shape)
{
    const uint32_t element = shape->in_c % 2u == 0u ? 2u : 4u; /* bytes of pairs for each */
    return shape->stride_w * shape->in_c * element;
}

static uint32_t pairs_below(const struct pt_shape *shape, const struct gradient *g)
{
    return shape->stride_h * g->row_bytes;
}

/* Notes the positions that have an error; each is 1 << halvings high and wide. */
static void note_positions(const struct pt_shape *shape, uint32_t halvings, const int8_t *error,
                           const struct gradient *g)
{
    const uint32_t row = (uint32_t)(shape->out_w >> halvings) * shape->out_c;
    const uint32_t right = pairs_right(shape) << halvings;
    const uint32_t below = pairs_below(shape, g) << halvings;
    struct pt_position *position = g->position;
    uint32_t at = 0;
    uint32_t pairs = 0;
    for (uint32_t y = shape->out_h >> halvings; y != 0u; --y, at += row, pairs += below) {
        position = list_positions(shape, error, at, row, pairs, right, position);
    }
    *g->count = (uint32_t)(position - g->position);
}

void pt_conv2d_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                              const int8_t *error, void *scratch)
{
    const struct gradient g = gradient_of(shape, pt_shape_positions(shape), scratch);
    pair_input(shape, input, &g);
    note_positions(shape, 0, error, &g);
}

static void add_sums(const int32_t *sums, uint32_t count, int32_t *to)
{
    for (uint32_t i = 0; i < count; ++i) {
        to[i] += sums[i];
    }
}

/* One kernel row of `values` elements, twelve or four at a time; the `first` to be added. */
static void add_pairs(const struct gradient *g, const struct pt_error *end, const int32_t *pairs,
                      uint32_t values, bool first, int32_t *to)
{
    int32_t sums[12];
    while (values != 0u) {
        const uint32_t most = values > 4u ? 12u : 4u;
        const uint32_t count = values < most ? values : most;
        int32_t *made = first && count == most ? to : sums;
        if (most == 12u) {
            (g->pair_step == 4u ? pt_pairs_6_step4 : pt_pairs_6_step8)(g->list, end, pairs, made);
        } else {
            (g->pair_step == 4u ? pt_pairs_2_step4 : pt_pairs_2_step8)(g->list, end, pairs, made);
        }
        if (made == sums) {
            add_sums(sums, count, to);
        }
        to += count;
        values -= count;
        pairs += most / 2u * (g->pair_step / 4u);
    }
}

/* Three kernel rows of three elements, as first layers on one channel have them. */
static void add_3x3(const struct gradient *g, const struct pt_error *end, int32_t *gradient)
{
    int32_t sums[12];
    pt_pairs_3x2_step8(g->list, end, g->pairs, sums, g->row_bytes);
    for (uint32_t k = 0; k < 3u; ++k) {
        add_sums(sums + 4u * k, 3, gradient + 3u * k);
    }
}

/* Adds the listed errors' part to the gradient of their channel. */
static void add_list(const struct pt_shape *shape, const struct gradient *g,
                     const struct pt_error *end, bool first, int32_t *gradient)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const int32_t *pairs = g->pairs;
    if (shape->kernel_h == 3u && kernel_row == 3u) {
        add_3x3(g, end, gradient);
        return;
    }
    for (uint32_t k = 0; k < shape->kernel_h; ++k) {
        add_pairs(g, end, pairs, kernel_row, first, gradient);
        pairs += g->row_bytes / 4u;
        gradient += kernel_row;
    }
}

void pt_conv2d_pool_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                                   const int8_t *error, void *scratch)
{
    const struct gradient g = gradient_of(shape, pooled_positions(shape), scratch);
    pair_input(shape, input, &g);
    note_positions(shape, 1, error, &g);
}

/* The errors of channel `row` at their places: pt_list_placed_errors for any number of channels. */
static void list_placed_errors(struct pt_errors *errors, uint32_t row, const uint8_t *places,
                               const uint32_t *moves)
{
    uint32_t budget = PT_ERROR_BUDGET;
    for (; errors->position != errors->end; ++errors->position) {
        const uint32_t at = errors->position->error;
        const int32_t value = errors->error[at];
        if (PT_SKIP_ZEROS && value == 0) {
            continue;
        }
        if (pt_abs_s32(value) > budget) {
            return;
        }
        budget -= pt_abs_s32(value);
        errors->entry->value = value;
        errors->entry->pairs = errors->position->pairs + moves[pt_place_of(places, at + row)];
        ++errors->entry;
    }
}

static struct gradient gradient_with(const struct pt_shape *shape, uint32_t positions,
                                     void *scratch, void *list)
{
    struct gradient g = gradient_of(shape, positions, scratch);
    g.list = list;
    return g;
}

/* One channel's gradient from its errors, which are at their places if there are any. NULL: their
 * list is in scratch too. */
static inline __attribute__((always_inline)) void walk_channel(
    const struct pt_shape *shape, uint32_t row, const int8_t *error, const uint8_t *places,
    void *scratch, void *list, int32_t *gradient)
{
    const uint32_t positions = places == NULL ? pt_shape_positions(shape)
                                              : pooled_positions(shape);
    const struct gradient g = list == NULL ? gradient_of(shape, positions, scratch)
                                           : gradient_with(shape, positions, scratch, list);
    const struct pt_position *end = g.position + *g.count;
    uint32_t moves[4] = {0};
    struct pt_placed_errors placed = {{g.position, end, error + row, g.list}, places, 0, moves};
    if (places != NULL) {
        moves[1] = pairs_right(shape);
        moves[2] = pairs_below(shape, &g);
        moves[3] = moves[1] + moves[2];
        placed.places += row / 4u;
        placed.left = 30u - 2u * (row % 4u);
    }
    struct pt_errors *errors = &placed.errors;
    bool first = true;
    memset(gradient, 0, pt_shape_patch_size(shape) * sizeof *gradient);
    while (errors->position != end) {
        /* Zeros that are not left out do not count against the budget, but fill the list. */
        const uint32_t left = (uint32_t)(end - errors->position);
        errors->end = left > PT_ERROR_BUDGET ? errors->position + PT_ERROR_BUDGET : end;
        errors->entry = g.list;
        if (places == NULL) {
            pt_list_errors(errors);
        } else if (shape->out_c % 4u == 0u) {
            pt_list_placed_errors(&placed);
        } else {
            list_placed_errors(errors, row, places, moves);
        }
        if (errors->entry != g.list) {
            add_list(shape, &g, errors->entry, first, gradient);
            first = false;
        }
    }
}

__attribute__((noinline)) static void channel_gradient(
    const struct pt_shape *shape, uint32_t row, const int8_t *error, const uint8_t *places,
    void *scratch, int32_t *gradient)
{
    walk_channel(shape, row, error, places, scratch, NULL, gradient);
}

void pt_conv2d_gradient_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *input,
                                const int8_t *error, void *scratch, int32_t *gradient)
{
    (void)input;
    channel_gradient(shape, row, error, NULL, scratch, gradient);
}

void pt_conv2d_pool_gradient_row_s32(const struct pt_shape *shape, uint32_t row,
                                     const int8_t *error, const uint8_t *places, void *scratch,
                                     int32_t *gradient)
{
    channel_gradient(shape, row, error, places, scratch, gradient);
}

#ifdef PT_CORES /* elsewhere a second caller would keep what is called once from being inlined */
void pt_conv2d_gradient_pairs(const struct pt_shape *shape, uint32_t begin, uint32_t end,
                              const int8_t *input, void *shared)
{
    const struct gradient g = gradient_of(shape, 0, shared);
    const uint32_t width = (uint32_t)shape->in_w * shape->in_c;
    const bool even = shape->in_c % 2u == 0u;
    const bool words = ((width | (uintptr_t)input) & 3u) == 0u;
    const uint32_t step = g.row_bytes / 4u;
    int32_t *from = g.pairs + (begin + shape->padding_h) * step;
    int32_t *to = g.pairs + (end + shape->padding_h) * step;
    if (begin == 0u) {
        from = g.pairs - 1;
    }
    if (end == shape->in_h) {
        to = g.pairs + (end + 2u * shape->padding_h) * step + 7;
    }
    memset(from, 0, (uintptr_t)to - (uintptr_t)from);
    input += begin * width;
    for (uint32_t y = begin; y < end; ++y, input += width) {
        pair_row(shape, input, y, width, even, words, &g);
    }
}

void pt_conv2d_gradient_positions(const struct pt_shape *shape, bool pooled, const int8_t *error,
                                  void *shared)
{
    const uint32_t positions = pooled ? pooled_positions(shape) : pt_shape_positions(shape);
    const struct gradient g = gradient_of(shape, positions, shared);
    note_positions(shape, pooled ? 1u : 0u, error, &g);
}

void pt_conv2d_gradient_slice_s32(const struct pt_shape *shape, uint32_t row, const int8_t *error,
                                  const uint8_t *places, void *shared, void *list,
                                  int32_t *gradient)
{
    walk_channel(shape, row, error, places, shared, list, gradient);
}
#endif
