#include "kernels/pt_conv2d.h"

#include <stddef.h>

#include "kernels/portable/pt_terms.h"
#include "kernels/portable/pt_tile.h"
#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_conv2d_pool_rows.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/pt_pool_sums.h"
#include "kernels/pt_requantize.h"
#ifdef PT_HOST_VECTORS
#include "kernels/vector/pt_long_rows.h"
#include "kernels/vector/pt_quad_gradients.h"
#include "kernels/vector/pt_short_rows.h"
#endif

static void gather_patch(const struct pt_shape *shape, uint32_t y, uint32_t x,
                         const int8_t *input, int32_t offset, pt_patch_element *patch)
{
    const struct pt_overlap window = pt_overlap_at(shape, y, x);
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t rows = window.row_end - window.row_begin;
    if (window.length != kernel_row || rows != shape->kernel_h) {
        /* Elements of several bytes have offset 0. */
        memset(patch, offset, pt_shape_patch_size(shape) * sizeof *patch);
    }
    pt_patch_element *to = patch + window.row_begin * kernel_row + window.kernel_start;
    const int8_t *from = input + window.input_start;
    for (uint32_t row = 0; row < rows; ++row) {
        for (uint32_t i = 0; i < window.length; ++i) {
            to[i] = (pt_patch_element)(from[i] + offset);
        }
        to += kernel_row;
        from += input_row;
    }
}

/* The scratch of a forward pass: PT_LANES masked rows, then as many patches as fit. */
struct memory {
    int8_t *masked;
    uint8_t *patches;
    uint32_t patch_size; /* bytes from one patch to the next */
    uint32_t capacity;
};

static struct memory memory_of(const struct pt_shape *shape, uint32_t length, void *scratch)
{
    const uint32_t masked = PT_LANES * pt_round4(length);
    const uint32_t align = PT_PATCH_ALIGNMENT - 1u;
    const uint32_t exact = pt_round4(length * (uint32_t)sizeof(pt_patch_element));
    const uint32_t positions = pt_shape_positions(shape);
    uint32_t room = pt_conv2d_forward_scratch(shape) - masked;
    struct memory memory = {scratch, (uint8_t *)scratch + masked, exact, 0};
    const uint32_t skip = (uint32_t)(0u - (uintptr_t)memory.patches) & align;
    const uint32_t aligned = (exact + align) & ~align;
    if (room >= skip + PT_TILE * aligned) {
        memory.patches += skip;
        memory.patch_size = aligned;
        room -= skip;
    }
    memory.capacity = room / memory.patch_size;
    if (memory.capacity > positions) {
        memory.capacity = positions;
    } else if (memory.capacity > PT_TILE) {
        memory.capacity -= memory.capacity % PT_TILE;
    }
    return memory;
}

/* The patches of the positions [begin, end). */
static void gather_patches(const struct pt_shape *shape, uint32_t begin, uint32_t end,
                           const int8_t *input, int32_t offset, const struct memory *memory)
{
    uint8_t *patch = memory->patches;
    uint32_t y = begin / shape->out_w;
    uint32_t x = begin % shape->out_w;
    for (uint32_t position = begin; position < end; ++position) {
        gather_patch(shape, y, x, input, offset, (pt_patch_element *)(void *)patch);
        patch += memory->patch_size;
        if (++x == shape->out_w) {
            x = 0;
            ++y;
        }
    }
}

/* Where sums go: accumulators as they are, or requantised. */
struct output {
    int32_t *accumulator; /* or NULL */
    int8_t *requantized;
    uint32_t shift;
    bool relu;
    uint32_t saturated;
};

static void put(struct output *output, uint32_t at, const int32_t *sums, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i) {
        if (output->accumulator != NULL) {
            output->accumulator[at + i] = sums[i];
        } else {
            output->requantized[at + i] =
                pt_requantize_s32(sums[i], output->shift, output->relu, &output->saturated);
        }
    }
}

/* The outputs of the positions [begin, end), gathered, in the channels of some rows. */
static void multiply(const struct pt_shape *shape, uint32_t begin, uint32_t end,
                     uint32_t channel, uint32_t channels, struct pt_tile tile,
                     const struct memory *memory, struct output *output)
{
    for (uint32_t c = 0; c < channels; c += PT_TILE) {
        tile.rows = channels - c < PT_TILE ? channels - c : PT_TILE;
        tile.patch = memory->patches;
        for (uint32_t position = begin; position < end; position += PT_TILE) {
            int32_t sums[PT_TILE][PT_TILE];
            tile.patches = end - position < PT_TILE ? end - position : PT_TILE;
            pt_tile_sums(&tile, sums);
            for (uint32_t p = 0; p < tile.patches; ++p) {
                put(output, (position + p) * shape->out_c + channel + c, sums[p], tile.rows);
            }
            tile.patch = (const uint8_t *)tile.patch + PT_TILE * tile.patch_size;
        }
        tile.row += PT_TILE * tile.row_size;
    }
}

/* The forward pass goes by blocks of PT_LANES channels. */
struct block {
    struct pt_edges left;
    struct memory memory;
    struct pt_tile tile;
    uint32_t channel;
    uint32_t channels;
};

static struct block first_block(const struct pt_shape *shape, const int8_t *input,
                                const struct pt_edges *edges, void *scratch)
{
    const uint32_t length = edges->row_length;
    struct block block = {.left = *edges, .memory = memory_of(shape, length, scratch)};
    block.tile.patch_size = block.memory.patch_size;
    block.tile.row_size = edges->scores != NULL ? pt_round4(length) : length;
    block.tile.length = length;
    block.tile.offset = pt_tile_offset(input, pt_shape_in_size(shape));
    return block;
}

/* Makes the rows of the channels from block->channel on; false where there are none. */
static bool make_block(const struct pt_shape *shape, struct block *block)
{
    const uint32_t rest = block->channel < shape->out_c ? shape->out_c - block->channel : 0u;
    block->channels = rest < PT_LANES ? rest : PT_LANES;
    block->tile.row = block->left.scores != NULL ? block->memory.masked : block->left.weights;
    for (uint32_t row = 0; row < block->channels; ++row) {
        pt_edges_next_row(&block->left, block->memory.masked + row * block->tile.row_size);
    }
    return rest != 0u;
}

static void forward(const struct pt_shape *shape, const int8_t *input,
                    const struct pt_edges *edges, void *scratch, struct output *output)
{
    const uint32_t positions = pt_shape_positions(shape);
    struct block block = first_block(shape, input, edges, scratch);
    const uint32_t capacity = block.memory.capacity;
    for (; make_block(shape, &block); block.channel += PT_LANES) {
        for (uint32_t begin = 0; begin < positions; begin += capacity) {
            const uint32_t more = positions - begin;
            const uint32_t end = begin + (more < capacity ? more : capacity);
            if (block.channel == 0u || capacity < positions) {
                gather_patches(shape, begin, end, input, block.tile.offset, &block.memory);
            }
            multiply(shape, begin, end, block.channel, block.channels, block.tile, &block.memory,
                     output);
        }
    }
}

void pt_conv2d_forward_s32(const struct pt_shape *shape, const int8_t *input,
                           const struct pt_edges *edges, void *scratch, int32_t *output)
{
#ifdef PT_HOST_VECTORS
    if (edges->row_length <= PT_SHORT_ROW) {
        pt_short_rows_forward_s32(shape, input, edges, scratch, output);
        return;
    }
    struct pt_outputs outputs = pt_outputs_s32(output);
    if (pt_long_rows_forward(shape, input, edges, &outputs)) {
        return;
    }
#endif
    struct output to = {output, NULL, 0, false, 0};
    forward(shape, input, edges, scratch, &to);
}

uint32_t pt_conv2d_forward_s8(const struct pt_shape *shape, const int8_t *input,
                              const struct pt_edges *edges, uint32_t shift, bool relu,
                              void *scratch, int8_t *output)
{
#ifdef PT_HOST_VECTORS
    if (edges->row_length <= PT_SHORT_ROW) {
        return pt_short_rows_forward_s8(shape, input, edges, shift, relu, scratch, output);
    }
    struct pt_outputs outputs = pt_outputs_s8(output, shift, relu);
    if (pt_long_rows_forward(shape, input, edges, &outputs)) {
        return pt_outputs_saturated(&outputs);
    }
#endif
    struct output to = {NULL, output, shift, relu, 0};
    forward(shape, input, edges, scratch, &to);
    return to.saturated;
}

/* Rows of weights that stay in a cache while all positions use them. */
enum { CACHED = 128 << 10 };

/* A block of effective rows; those of channels without any error stay unmade. */
static void make_rows(const struct pt_shape *shape, uint32_t channel, uint32_t rows,
                      const int8_t *error, struct pt_edges *edges, int8_t *masked)
{
    const uint32_t length = edges->row_length;
    const uint32_t positions = pt_shape_positions(shape);
    for (uint32_t row = 0; row < rows; ++row, masked += pt_round4(length)) {
        uint32_t position = 0;
        while (position < positions && error[position * shape->out_c + channel + row] == 0) {
            ++position;
        }
        if (position < positions || edges->scores == NULL) {
            pt_edges_next_row(edges, masked);
            continue;
        }
        edges->weights += length;
        if (edges->bitmap == NULL) {
            edges->scores += length;
        } else {
            edges->scores += pt_bitmap_count(edges->bitmap, length);
            edges->bitmap += pt_bitmap_size(length);
        }
    }
}

static void add_window(const struct pt_shape *shape, const struct pt_overlap *window,
                       const struct pt_terms *terms, int32_t *input_error)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    uint32_t from = window->row_begin * kernel_row + window->kernel_start;
    int32_t *to = input_error + window->input_start;
    for (uint32_t k = window->row_begin; k < window->row_end; ++k) {
        pt_terms_add(terms, from, window->length, to);
        from += kernel_row;
        to += (uint32_t)shape->in_w * shape->in_c;
    }
}

/* Adds what the errors of one position owe to a block of rows. */
static void add_position(const struct pt_shape *shape, uint32_t y, uint32_t x,
                         const int8_t *error, const int8_t *rows, uint32_t row_size,
                         uint32_t count, int32_t *input_error)
{
    const struct pt_overlap window = pt_overlap_at(shape, y, x);
    struct pt_terms terms = {0};
    for (uint32_t row = 0; row < count; ++row) {
        if (error[row] != 0) {
            terms.vector[terms.count] = rows + row * row_size;
            terms.factor[terms.count++] = error[row];
            if (terms.count == PT_TERMS) {
                add_window(shape, &window, &terms, input_error);
                terms.count = 0;
            }
        }
    }
    if (terms.count != 0u) {
        add_window(shape, &window, &terms, input_error);
    }
}

void pt_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                         const struct pt_edges *edges, void *scratch, int32_t *input_error)
{
#ifdef PT_HOST_VECTORS
    if (pt_long_rows_error(shape, error, edges, input_error)) {
        return;
    }
#endif
    struct pt_edges left = *edges;
    const bool masks = edges->scores != NULL;
    const uint32_t masked_size = pt_round4(edges->row_length);
    const uint32_t row_size = masks ? masked_size : edges->row_length;
    const uint32_t scratch_size = pt_conv2d_error_scratch(shape);
    const uint32_t fit = (scratch_size < CACHED ? scratch_size : CACHED) / masked_size;
    const uint32_t block = fit == 0u ? 1u : fit;
    memset(input_error, 0, pt_shape_in_size(shape) * sizeof *input_error);
    for (uint32_t channel = 0; channel < shape->out_c; channel += block) {
        const uint32_t rest = shape->out_c - channel;
        const uint32_t count = rest < block ? rest : block;
        const int8_t *rows = masks ? scratch : left.weights;
        const int8_t *from = error + channel;
        make_rows(shape, channel, count, error, &left, scratch);
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t x = 0; x < shape->out_w; ++x, from += shape->out_c) {
                add_position(shape, y, x, from, rows, row_size, count, input_error);
            }
        }
    }
}

static uint32_t padded_row(const struct pt_shape *shape)
{
    return ((uint32_t)shape->in_w + 2u * shape->padding_w) * shape->in_c;
}

/* The input with its padding: then every window is whole. */
static void pad_input(const struct pt_shape *shape, const int8_t *input, int8_t *to)
{
    const uint32_t row = padded_row(shape);
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    memset(to, 0, row * ((uint32_t)shape->in_h + 2u * shape->padding_h));
    to += row * shape->padding_h + (uint32_t)shape->padding_w * shape->in_c;
    for (uint32_t y = 0; y < shape->in_h; ++y) {
        memcpy(to, input, input_row);
        to += row;
        input += input_row;
    }
}

void pt_conv2d_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                              const int8_t *error, void *scratch)
{
#ifdef PT_HOST_VECTORS
    if (pt_quad_gradients_fit(shape)) {
        pt_quad_gradients_begin(shape, input, error);
        return;
    }
#endif
    (void)error;
    pad_input(shape, input, scratch);
}

static void add_inputs(const struct pt_shape *shape, const struct pt_terms *terms,
                       int32_t *gradient)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    for (uint32_t k = 0; k < shape->kernel_h; ++k) {
        pt_terms_add(terms, k * padded_row(shape), kernel_row, gradient + k * kernel_row);
    }
}

void pt_conv2d_gradient_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *input,
                                const int8_t *error, void *scratch, int32_t *gradient)
{
#ifdef PT_HOST_VECTORS
    if (pt_quad_gradients_fit(shape)) {
        pt_quad_gradients_row(shape, row, gradient);
        return;
    }
#endif
    const int8_t *line = scratch;
    const uint32_t step = (uint32_t)shape->stride_w * shape->in_c;
    struct pt_terms terms = {0};
    (void)input;
    error += row;
    memset(gradient, 0, pt_shape_patch_size(shape) * sizeof *gradient);
    for (uint32_t y = 0; y < shape->out_h; ++y) {
        for (uint32_t x = 0; x < shape->out_w; ++x, error += shape->out_c) {
            if (*error == 0) {
                continue;
            }
            terms.vector[terms.count] = line + x * step;
            terms.factor[terms.count++] = *error;
            if (terms.count == PT_TERMS) {
                add_inputs(shape, &terms, gradient);
                terms.count = 0;
            }
        }
        line += shape->stride_h * padded_row(shape);
    }
    if (terms.count != 0u) {
        add_inputs(shape, &terms, gradient);
    }
}

/* What a pair makes of windows, in any order of positions. */
struct pooled {
    int8_t *output;
    uint8_t *places;
    uint32_t shift;
    uint32_t saturated;
};

/* The windows [begin, end), of which each is a tile of four patches. */
static void gather_windows(const struct pt_shape *shape, uint32_t begin, uint32_t end,
                           const int8_t *input, const struct block *block)
{
    const uint32_t width = shape->out_w / 2u;
    uint8_t *patch = block->memory.patches;
    for (uint32_t window = begin; window < end; ++window) {
        const uint32_t y = window / width * 2u;
        const uint32_t x = window % width * 2u;
        for (uint32_t i = 0; i < PT_TILE; ++i, patch += block->memory.patch_size) {
            gather_patch(shape, y + i / 2u, x + i % 2u, input, block->tile.offset,
                         (pt_patch_element *)(void *)patch);
        }
    }
}

static void pool_windows(const struct pt_shape *shape, uint32_t begin, uint32_t end,
                         const struct block *block, struct pooled *to)
{
    struct pt_tile tile = block->tile;
    tile.patches = PT_TILE;
    for (uint32_t c = 0; c < block->channels; c += PT_TILE) {
        uint32_t at = begin * shape->out_c + block->channel + c;
        tile.rows = block->channels - c < PT_TILE ? block->channels - c : PT_TILE;
        tile.patch = block->memory.patches;
        for (uint32_t window = begin; window < end; ++window, at += shape->out_c) {
            int32_t sums[PT_TILE][PT_TILE];
            pt_tile_sums(&tile, sums);
            for (uint32_t row = 0; row < tile.rows; ++row) {
                const uint32_t i = at + row;
                uint32_t place;
                to->output[i] = pt_pool_sums_s8(&sums[0][row], PT_TILE, to->shift, &place,
                                                &to->saturated);
                to->places[i / 4u] |= (uint8_t)(place << 2u * (i % 4u));
            }
            tile.patch = (const uint8_t *)tile.patch + PT_TILE * tile.patch_size;
        }
        tile.row += PT_TILE * tile.row_size;
    }
}

/* What saturates at a position that no window has. */
static void count_position(const struct pt_shape *shape, uint32_t y, uint32_t x,
                           const int8_t *input, const struct block *block, struct pooled *to)
{
    struct pt_tile tile = block->tile;
    gather_patch(shape, y, x, input, tile.offset,
                 (pt_patch_element *)(void *)block->memory.patches);
    tile.patch = block->memory.patches;
    tile.patches = 1;
    for (uint32_t c = 0; c < block->channels; c += PT_TILE) {
        int32_t sums[PT_TILE][PT_TILE];
        tile.rows = block->channels - c < PT_TILE ? block->channels - c : PT_TILE;
        pt_tile_sums(&tile, sums);
        for (uint32_t row = 0; row < tile.rows; ++row) {
            pt_requantize_s32(sums[0][row], to->shift, true, &to->saturated);
        }
        tile.row += PT_TILE * tile.row_size;
    }
}

uint32_t pt_conv2d_pool_forward_s8(const struct pt_shape *shape, const int8_t *input,
                                   const struct pt_edges *edges, uint32_t shift, void *scratch,
                                   int8_t *output, uint8_t *places)
{
    const uint32_t windows = (uint32_t)(shape->out_h / 2u) * (shape->out_w / 2u);
    struct pooled to = {output, places, shift, 0};
    struct block block = first_block(shape, input, edges, scratch);
    const uint32_t capacity = block.memory.capacity / PT_TILE;
    memset(places, 0, pt_places_size(shape));
    for (; make_block(shape, &block); block.channel += PT_LANES) {
        for (uint32_t begin = 0; begin < windows; begin += capacity) {
            const uint32_t more = windows - begin;
            const uint32_t end = begin + (more < capacity ? more : capacity);
            gather_windows(shape, begin, end, input, &block);
            pool_windows(shape, begin, end, &block, &to);
        }
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            const bool dropped = y + 1u == shape->out_h && y % 2u == 0u;
            for (uint32_t x = dropped ? 0u : shape->out_w / 2u * 2u; x < shape->out_w; ++x) {
                count_position(shape, y, x, input, &block, &to);
            }
        }
    }
    return to.saturated;
}

uint32_t pt_conv2d_pool_error_s8(const struct pt_shape *shape, const int8_t *error,
                                 const uint8_t *places, const struct pt_edges *edges,
                                 const int8_t *activation, uint32_t shift, void *scratch,
                                 int8_t *input_error)
{
    return pt_conv2d_pool_error_rows_s8(shape, error, places, edges, activation, shift, scratch,
                                        input_error);
}

void pt_conv2d_pool_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                                   const int8_t *error, void *scratch)
{
    (void)error;
    pad_input(shape, input, scratch);
}

void pt_conv2d_pool_gradient_row_s32(const struct pt_shape *shape, uint32_t row,
                                     const int8_t *error, const uint8_t *places, void *scratch,
                                     int32_t *gradient)
{
    const int8_t *line = scratch;
    const uint32_t step = (uint32_t)shape->stride_w * shape->in_c;
    const uint32_t down = shape->stride_h * padded_row(shape);
    struct pt_terms terms = {0};
    uint32_t at = row;
    memset(gradient, 0, pt_shape_patch_size(shape) * sizeof *gradient);
    for (uint32_t y = 0; y < shape->out_h / 2u; ++y, line += 2u * down) {
        for (uint32_t x = 0; x < shape->out_w / 2u; ++x, at += shape->out_c) {
            const uint32_t place = pt_place_of(places, at);
            if (error[at] == 0) {
                continue;
            }
            terms.vector[terms.count] = line + place / 2u * down + (2u * x + place % 2u) * step;
            terms.factor[terms.count++] = error[at];
            if (terms.count == PT_TERMS) {
                add_inputs(shape, &terms, gradient);
                terms.count = 0;
            }
        }
    }
    if (terms.count != 0u) {
        add_inputs(shape, &terms, gradient);
    }
}
