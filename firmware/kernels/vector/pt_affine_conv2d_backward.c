#include <stddef.h>

#include "kernels/pt_affine_backward.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/vector/pt_gradients.h"
#include "kernels/vector/pt_quads.h"
#include "kernels/vector/pt_windows.h"

/* Error: rows of weights become quads of the inputs' sums, as many at a time as there is room. */

static int8_t masked_rows[4 * PT_QUADS_TERMS];

/* For every vector of columns the quads of `rows` rows, one after another. */
static void pack_rows(struct pt_edges *edges, uint32_t rows, uint32_t length)
{
    const uint32_t quads = (rows + 3u) / 4u;
    for (uint32_t q = 0; q < quads; ++q) {
        const int8_t *row[4] = {NULL, NULL, NULL, NULL};
        for (uint32_t r = 0; r < 4u && 4u * q + r < rows; ++r) {
            row[r] = pt_edges_next_row(edges, masked_rows + r * pt_round4(length));
        }
        pt_words *to = pt_quads_room + q;
        for (uint32_t k = 0; k < length; k += PT_VECTOR, to += quads) {
            *to = pt_quads_beside(row, k, pt_vector_count(length - k));
        }
    }
}

/* The errors of some channels, moved up by 128: `size` bytes for each position. */
static void pack_errors(const struct pt_shape *shape, const int8_t *error, uint32_t channels,
                        uint32_t positions, uint32_t size)
{
    if (channels == size && channels == shape->out_c) {
        pt_quads_move_up(error, positions * size, pt_bytes_room);
        return;
    }
    for (uint32_t p = 0; p < positions; ++p) {
        pt_quads_move_up(error + p * shape->out_c, channels, pt_bytes_room + p * size);
    }
}

/* Adds a vector of the sums of one position where they lie on the input. */
static void add_to_window(const struct pt_shape *shape, uint32_t position, uint32_t at,
                          pt_words sums, int32_t *to)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t end = length - at < PT_VECTOR ? length : at + PT_VECTOR;
    const struct pt_overlap window =
        pt_overlap_at(shape, position / shape->out_w, position % shape->out_w);
    int32_t lanes[PT_VECTOR];
    pt_store_words(lanes, sums, PT_VECTOR);
    for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
        const uint32_t first = k * kernel_row + window.kernel_start;
        const uint32_t last = first + window.length;
        const uint32_t from = first > at ? first : at;
        const uint32_t until = last < end ? last : end;
        int32_t *row = to + window.input_start +
                       (k - window.row_begin) * shape->in_w * shape->in_c;
        for (uint32_t i = from; i < until; ++i) {
            row[i - first] += lanes[i - at];
        }
    }
}

/* What rows [row, row + rows) owe to the inputs of the positions [begin, end). */
static void add_errors(const struct pt_shape *shape, uint32_t row, uint32_t rows, uint32_t begin,
                       uint32_t end, int32_t *sums)
{
    const bool pointwise = pt_is_pointwise(shape);
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t quads = (rows + 3u) / 4u;
    const uint32_t size = 4u * quads;
    const pt_words *block = pt_quads_room;
    for (uint32_t k = 0; k < length; k += PT_VECTOR, block += quads) {
        const uint32_t count = pt_vector_count(length - k);
        const pt_words start = pt_quads_total(block, quads) * (0u - 128u);
        const uint8_t *errors = pt_bytes_room;
        for (uint32_t p = begin; p < end; p += PT_QUADS_AT_ONCE) {
            const uint8_t *left[PT_QUADS_AT_ONCE];
            pt_words made[PT_QUADS_AT_ONCE];
            for (uint32_t i = 0; i < PT_QUADS_AT_ONCE; ++i) {
                left[i] = pt_quads_left(errors, size, i, end - p);
            }
            pt_quads_multiply(block, quads, left, 4, start, made);
            for (uint32_t i = 0; i < PT_QUADS_AT_ONCE && i < end - p; ++i) {
                int32_t *to = sums + (p + i) * length + k;
                if (pointwise && row == 0u) {
                    pt_store_words(to, made[i], count);
                } else if (pointwise) {
                    pt_store_words(to, pt_load_words(to, count) + made[i], count);
                } else {
                    add_to_window(shape, p + i, k, made[i], sums);
                }
            }
            errors += PT_QUADS_AT_ONCE * size;
        }
    }
}

void pt_affine_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                                const struct pt_edges *edges, void *scratch, int32_t *sums)
{
    struct pt_edges left = *edges;
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t most = PT_QUADS_ROOM / pt_vector_round(length) & ~3u;
    (void)scratch;
    if (!pt_is_pointwise(shape)) {
        memset(sums, 0, pt_shape_in_size(shape) * sizeof *sums);
    }
    for (uint32_t row = 0; row < shape->out_c; row += most) {
        const uint32_t rows = shape->out_c - row < most ? shape->out_c - row : most;
        const uint32_t size = pt_round4(rows);
        const uint32_t fit = PT_BYTES_ROOM / size;
        pack_rows(&left, rows, length);
        for (uint32_t begin = 0; begin < positions; begin += fit) {
            const uint32_t end = positions - begin < fit ? positions : begin + fit;
            pack_errors(shape, error + begin * shape->out_c + row, rows, end - begin, size);
            add_errors(shape, row, rows, begin, end, sums);
        }
    }
}

/* Gradient: patches become quads of the kernel's sums, four positions in each. */

static pt_words patches[PT_BYTES_ROOM / sizeof(pt_words)];
static pt_words errors_of_rows[PT_GRADIENTS_POSITIONS / 4];
static int8_t outer_patch[4][PT_QUADS_TERMS];

static const int8_t *patch_at(const struct pt_shape *shape, int32_t zero, const int8_t *input,
                              uint32_t position, int8_t *patch)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    if (pt_is_pointwise(shape)) {
        return input + position * shape->in_c;
    }
    const struct pt_overlap window =
        pt_overlap_at(shape, position / shape->out_w, position % shape->out_w);
    int8_t *to = patch + window.row_begin * kernel_row + window.kernel_start;
    const int8_t *from = input + window.input_start;
    if (window.length != kernel_row || window.row_end - window.row_begin != shape->kernel_h) {
        memset(patch, zero, pt_shape_patch_size(shape));
    }
    for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
        memcpy(to, from, window.length);
        to += kernel_row;
        from += (uint32_t)shape->in_w * shape->in_c;
    }
    return patch;
}

/* Patches of [begin, end): for every vector of a kernel the quads of all these positions. */
static void pack_patches(const struct pt_shape *shape, int32_t zero, const int8_t *input,
                         uint32_t begin, uint32_t end)
{
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t quads = (end - begin + 3u) / 4u;
    for (uint32_t q = 0; q < quads; ++q) {
        const int8_t *row[4] = {NULL, NULL, NULL, NULL};
        for (uint32_t r = 0; r < 4u && begin + 4u * q + r < end; ++r) {
            row[r] = patch_at(shape, zero, input, begin + 4u * q + r, outer_patch[r]);
        }
        pt_words *to = patches + q;
        for (uint32_t k = 0; k < length; k += PT_VECTOR, to += quads) {
            *to = pt_quads_beside(row, k, pt_vector_count(length - k));
        }
    }
}

/* The errors of `count` channels, moved up by 128; notes their sums, and which have any. */
static pt_words pack_column(const struct pt_shape *shape, const int8_t *error, uint32_t count)
{
    const uint32_t positions = pt_shape_positions(shape);
    pt_words any = {0};
    pt_words sums = {0};
    for (uint32_t q = 0; 4u * q < positions; ++q) {
        const int8_t *row[4] = {NULL, NULL, NULL, NULL};
        for (uint32_t r = 0; r < 4u && 4u * q + r < positions; ++r) {
            row[r] = error + (4u * q + r) * shape->out_c;
        }
        const pt_words errors = pt_quads_beside(row, 0, count);
        any |= errors;
        sums = pt_dot4(sums, pt_words_all(0x01010101u), errors);
        errors_of_rows[q] = errors ^ PT_QUADS_MOVED;
    }
    for (uint32_t lane = 0; lane < count; ++lane) {
        pt_gradients.any[lane] = any[lane] != 0u;
    }
    return sums;
}

/*
 * Adds what the positions from `begin` on give; `quads` vectors of them stand packed. The zero
 * point comes off at the beginning, `less` for each row.
 */
static void add_gradients(uint32_t length, uint32_t begin, uint32_t quads, uint32_t rows,
                          const pt_words *less)
{
    const uint8_t *errors = (const uint8_t *)(errors_of_rows + begin / 4u);
    const pt_words *block = patches;
    for (uint32_t k = 0; k < length; k += PT_VECTOR, block += quads) {
        const uint32_t count = pt_vector_count(length - k);
        const pt_words start = pt_quads_total(block, quads) * (0u - 128u);
        for (uint32_t row = 0; row < rows; row += PT_QUADS_AT_ONCE) {
            const uint8_t *left[PT_QUADS_AT_ONCE];
            pt_words sums[PT_QUADS_AT_ONCE];
            for (uint32_t i = 0; i < PT_QUADS_AT_ONCE; ++i) {
                left[i] = errors + 4u * (row + i);
            }
            pt_quads_multiply(block, quads, left, sizeof *errors_of_rows, start, sums);
            for (uint32_t i = 0; i < PT_QUADS_AT_ONCE && row + i < rows; ++i) {
                int32_t *to = pt_gradients_at(length, row + i) + k;
                const pt_words before = begin == 0u ? pt_words_all(0u - (*less)[row + i])
                                                    : pt_load_words(to, count);
                pt_store_words(to, before + sums[i], count);
            }
        }
    }
}

/* A block of rows of gradients. */
static void make_gradients(const struct pt_shape *shape, uint32_t row, uint32_t rows,
                           int32_t zero, const int8_t *input, const int8_t *error)
{
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t fit = (uint32_t)sizeof patches / pt_vector_round(length) & ~3u;
    const pt_words less = pack_column(shape, error + row, rows) * (uint32_t)zero;
    for (uint32_t begin = 0; begin < positions; begin += fit) {
        const uint32_t end = positions - begin < fit ? positions : begin + fit;
        if (!pt_gradients.packed) {
            pack_patches(shape, zero, input, begin, end);
        }
        add_gradients(length, begin, (end - begin + 3u) / 4u, rows, &less);
    }
    pt_gradients.packed = fit >= positions;
}

bool pt_affine_conv2d_gradient_s32(const struct pt_shape *shape, uint32_t row, int32_t zero,
                                   const int8_t *input, const int8_t *error, int32_t *gradient)
{
    const uint32_t length = pt_shape_patch_size(shape);
    if (!pt_gradients_have(row)) {
        pt_gradients_next(shape->out_c, row, length);
        make_gradients(shape, pt_gradients.first, pt_gradients.rows, zero, input, error);
    }
    memcpy(gradient, pt_gradients_at(length, row - pt_gradients.first), length * sizeof *gradient);
    return pt_gradients.any[row - pt_gradients.first];
}
