#include "kernels/pt_linear.h"

#include <stddef.h>

#include "kernels/cortex_m0plus/pt_bits.h"
#include "kernels/cortex_m0plus/pt_linear_inner.h"
#include "kernels/cortex_m0plus/pt_slices.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_skips.h"

enum { GROUP = 4, ROWS_AT_ONCE = 16 };

/* The inputs that are not zero, in scratch; or, where most are not, all of them in pairs. */
struct input {
    const uint32_t *list;
    const uint32_t *end;
    bool paired;
    uint32_t bias; /* paired: 128 * sum of the inputs, what pt_row_words adds */
};

static struct input pair_input(const int8_t *values, uint32_t length, uint32_t *pairs)
{
    struct input input = {pairs, pairs + length / 2u, true, 0};
    for (const int8_t *end = values + length; values != end; values += 4) {
        const uint32_t low = (uint32_t)values[0] + (uint32_t)values[1];
        const uint32_t high = (uint32_t)values[2] + (uint32_t)values[3];
        input.bias += (low + high) << 7;
        *pairs++ = (uint32_t)values[2] + ((uint32_t)values[0] << 16);
        *pairs++ = (uint32_t)values[3] + ((uint32_t)values[1] << 16);
    }
    return input;
}

/* Words of edges can be read where all rows begin on a word boundary. */
static bool word_aligned(const struct pt_edges *edges)
{
    return (((uintptr_t)edges->weights | (uintptr_t)edges->scores | edges->row_length) & 3u) == 0u;
}

uint32_t *pt_list_inputs(const int8_t *values, uint32_t length, uint32_t k, uint32_t *list)
{
    const int8_t *end = values + length;
    if ((((uintptr_t)values | length) & 3u) == 0u) {
        return pt_list_input_words(values, end, list, k << 8);
    }
    for (; values != end; ++k, ++values) {
        if (!PT_SKIP_ZEROS || *values != 0) {
            *list++ = k << 8 | (uint8_t)*values;
        }
    }
    return list;
}

static bool any_negative(const int8_t *values, uint32_t count)
{
    const int8_t *end = values + count;
    while (values != end && *values >= 0) {
        ++values;
    }
    return values != end;
}

static struct input list_input(const int8_t *values, const struct pt_edges *edges,
                               uint32_t *list)
{
    const uint32_t length = edges->row_length;
    const struct input input = {list, pt_list_inputs(values, length, 0, list), false, 0};
    /* Pairs cost 5 to 8 cycles for each edge, lists 7 to 11 for each input that is not zero. */
    if ((uint32_t)(input.end - list) > pt_linear_most_listed(length) && word_aligned(edges) &&
        !any_negative(values, length)) {
        return pair_input(values, length, list);
    }
    return input;
}

/* One row, for those that do not fill a group, and the last rows of PRIOT-S. */
static int32_t sum_one(const struct input *input, const struct pt_edges *edges)
{
    int32_t sum = 0;
    for (const uint32_t *entry = input->list; entry != input->end; ++entry) {
        const uint32_t k = *entry >> 8;
        if (edges->scores == NULL || edges->scores[k] >= edges->threshold) {
            sum += (int8_t)(uint8_t)*entry * edges->weights[k];
        }
    }
    return sum;
}

/* What the pruned edges of a sparsely scored row would have added; moves the scores on. */
static int32_t sum_pruned(const int8_t *values, struct pt_edges *edges)
{
    const int8_t *weights = edges->weights;
    const int8_t *score = edges->scores;
    const int32_t threshold = edges->threshold;
    struct pt_bits left = pt_bits_of(edges->bitmap, edges->row_length);
    uint32_t base = 0;
    int32_t sum = 0;
    for (uint32_t bits; (bits = pt_bits_next(&left, &base)) != 0u;) {
        for (; bits != 0u; bits &= bits - 1u) {
            if (*score++ < threshold) {
                const uint32_t k = base + pt_bit_lowest(bits);
                sum += values[k] * weights[k];
            }
        }
    }
    edges->scores = score;
    edges->bitmap = left.end;
    return sum;
}

/* Rows one by one over all inputs. */
static void sum_pairs(const struct input *input, const struct pt_edges *edges, uint32_t rows,
                      int32_t *sums)
{
    const uint32_t threshold = ((uint32_t)edges->threshold & 0x7fu) * 0x01010101u;
    struct pt_words_job job = {
        input->list, input->end, edges->weights,
        (uintptr_t)edges->scores - (uintptr_t)edges->weights, threshold,
    };
    uint32_t (*sum_row)(const struct pt_words_job *) =
        edges->scores == NULL   ? pt_row_words
        : edges->threshold < 0 ? pt_row_words_masked_negative
                               : pt_row_words_masked_positive;
    for (uint32_t row = 0; row < rows; ++row, job.weights += edges->row_length) {
        sums[row] = (int32_t)(sum_row(&job) - input->bias); /* the sum alone may pass 2^31 */
    }
}

static void sum_group(const struct input *input, const struct pt_edges *edges, uint32_t rows,
                      int32_t *sums)
{
    struct pt_rows_job job = {
        input->list, input->end, edges->weights, edges->scores, edges->row_length,
        edges->threshold, sums,
    };
    if (input->paired) {
        sum_pairs(input, edges, rows, sums);
        return;
    }
    if (rows == GROUP && input->list != input->end) {
        (edges->scores == NULL ? pt_rows4 : pt_rows4_masked)(&job);
        return;
    }
    struct pt_edges one = *edges;
    for (uint32_t row = 0; row < rows; ++row) {
        sums[row] = sum_one(input, &one);
        one.weights += one.row_length;
        if (one.scores != NULL) {
            one.scores += one.row_length;
        }
    }
}

/* Up to GROUP rows; moves the edges on. */
static void next_group(const int8_t *values, const struct input *input, struct pt_edges *edges,
                       uint32_t rows, int32_t *sums)
{
    struct pt_edges unmasked = *edges;
    const bool sparse = edges->bitmap != NULL;
    if (sparse) {
        unmasked.scores = NULL;
    }
    sum_group(input, &unmasked, rows, sums);
    for (uint32_t row = 0; row < rows; ++row) {
        if (sparse) {
            sums[row] -= sum_pruned(values, edges);
        } else if (edges->scores != NULL) {
            edges->scores += edges->row_length;
        }
        edges->weights += edges->row_length;
    }
}

/* Inlined, as only the image of two cores has them twice. */
static inline __attribute__((always_inline)) void forward_s32(
    const int8_t *input, const struct input *listed, const struct pt_edges *edges, uint32_t rows,
    int32_t *output)
{
    struct pt_edges left = *edges;
    for (uint32_t row = 0; row < rows; row += GROUP) {
        const uint32_t count = rows - row < GROUP ? rows - row : GROUP;
        next_group(input, listed, &left, count, output + row);
    }
}

static inline __attribute__((always_inline)) uint32_t forward_s8(
    const int8_t *input, const struct input *listed, const struct pt_edges *edges, uint32_t rows,
    uint32_t shift, bool relu, int8_t *output)
{
    struct pt_edges left = *edges;
    uint32_t saturated = 0;
    int32_t sums[GROUP];
    for (uint32_t row = 0; row < rows; row += GROUP) {
        const uint32_t count = rows - row < GROUP ? rows - row : GROUP;
        next_group(input, listed, &left, count, sums);
        saturated += pt_requantize_s8(sums, count, shift, relu, output + row);
    }
    return saturated;
}

void pt_linear_forward_s32(const int8_t *input, const struct pt_edges *edges, uint32_t rows,
                           void *scratch, int32_t *output)
{
    const struct input listed = list_input(input, edges, scratch);
    forward_s32(input, &listed, edges, rows, output);
}

void pt_linear_forward_slice_s32(const int8_t *input, const uint32_t *list, const uint32_t *end,
                                 const struct pt_edges *edges, uint32_t rows, int32_t *output)
{
    const struct input listed = {list, end, false, 0};
    forward_s32(input, &listed, edges, rows, output);
}

uint32_t pt_linear_forward_s8(const int8_t *input, const struct pt_edges *edges, uint32_t rows,
                              uint32_t shift, bool relu, void *scratch, int8_t *output)
{
    const struct input listed = list_input(input, edges, scratch);
    return forward_s8(input, &listed, edges, rows, shift, relu, output);
}

uint32_t pt_linear_forward_slice_s8(const int8_t *input, const uint32_t *list, const uint32_t *end,
                                    const struct pt_edges *edges, uint32_t rows, uint32_t shift,
                                    bool relu, int8_t *output)
{
    const struct input listed = {list, end, false, 0};
    return forward_s8(input, &listed, edges, rows, shift, relu, output);
}

/* sums += `count` edges of rows, each times its error, that lie on word boundaries. */
static void add_rows(const struct pt_row_error *rows, const struct pt_row_error *end,
                     const struct pt_edges *edges, uint32_t count, const int8_t *needed,
                     int32_t *sums)
{
    const uint32_t threshold = (uint32_t)edges->threshold & 0x7fu;
    struct pt_columns_job job = {
        rows, end, sums, count, 0, threshold * 0x01010101u, needed,
    };
    if (rows == end) {
        return;
    }
    if (edges->scores == NULL) {
        pt_columns(&job);
        return;
    }
    job.scores = (uintptr_t)edges->scores - (uintptr_t)edges->weights;
    if (edges->threshold < 0) {
        pt_columns_masked_negative(&job);
    } else {
        pt_columns_masked_positive(&job);
    }
}

static void error_of_words(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                           uint32_t count, const int8_t *needed, int32_t *input_error)
{
    struct pt_row_error listed[ROWS_AT_ONCE];
    struct pt_row_error *next = listed;
    const int8_t *weights = edges->weights;
    for (uint32_t row = 0; row < rows; ++row, weights += edges->row_length) {
        if (PT_SKIP_ZEROS && error[row] == 0) {
            continue;
        }
        next->error = error[row];
        next->weights = weights;
        if (++next == listed + ROWS_AT_ONCE) {
            add_rows(listed, next, edges, count, needed, input_error);
            next = listed;
        }
    }
    add_rows(listed, next, edges, count, needed, input_error);
}

/* Moves the edges on by one row that nobody needs. */
static void skip_row(struct pt_edges *edges)
{
    if (edges->bitmap != NULL) {
        edges->scores += pt_bitmap_count(edges->bitmap, edges->row_length);
        edges->bitmap += pt_bitmap_size(edges->row_length);
    } else if (edges->scores != NULL) {
        edges->scores += edges->row_length;
    }
    edges->weights += edges->row_length;
}

/* sums -= factor * the pruned edges of a sparsely scored row; moves the edges on. */
static void subtract_pruned(int32_t factor, struct pt_edges *edges, int32_t *sums)
{
    const int8_t *weights = edges->weights;
    const int8_t *score = edges->scores;
    const int32_t threshold = edges->threshold;
    struct pt_bits left = pt_bits_of(edges->bitmap, edges->row_length);
    uint32_t base = 0;
    for (uint32_t bits; (bits = pt_bits_next(&left, &base)) != 0u;) {
        for (; bits != 0u; bits &= bits - 1u) {
            if (*score++ < threshold) {
                const uint32_t k = base + pt_bit_lowest(bits);
                sums[k] -= factor * weights[k];
            }
        }
    }
    edges->weights += edges->row_length;
    edges->scores = score;
    edges->bitmap = left.end;
}

/*
 * Sparsely scored: few edges are pruned, so they are added first and taken off again. Inlined, the
 * loop that takes them off has too few registers.
 */
static __attribute__((noinline)) void error_of_sparse_words(
    const int8_t *error, const struct pt_edges *edges, uint32_t rows, const int8_t *needed,
    int32_t *input_error)
{
    struct pt_edges left = *edges;
    left.scores = NULL;
    error_of_words(error, &left, rows, left.row_length, needed, input_error);
    left.scores = edges->scores;
    for (uint32_t row = 0; row < rows; ++row) {
        if (PT_SKIP_ZEROS && error[row] == 0) {
            skip_row(&left);
        } else {
            subtract_pruned(error[row], &left, input_error);
        }
    }
}

/* Inputs [begin, end) of rows that are made one by one, because they lie anywhere. */
static void error_of_rows(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                          uint32_t begin, uint32_t end, int8_t *row_scratch,
                          int32_t *input_error)
{
    struct pt_edges left = *edges;
    for (uint32_t row = 0; row < rows; ++row) {
        const int32_t factor = error[row];
        if (PT_SKIP_ZEROS && factor == 0) {
            skip_row(&left);
            continue;
        }
        const int8_t *weights = pt_edges_next_row(&left, row_scratch);
        for (uint32_t i = begin; i < end; ++i) {
            input_error[i] += factor * weights[i];
        }
    }
}

/* What words tell of what is needed. */
static const int8_t *needed_words(const int8_t *needed)
{
    return PT_SKIP_ZEROS && (uintptr_t)needed % 4u == 0u ? needed : NULL;
}

void pt_linear_error_slice_s32(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                               uint32_t begin, uint32_t end, const int8_t *needed, void *scratch,
                               int32_t *input_error)
{
    const uint32_t count = end - begin;
    const int8_t *wanted = needed == NULL ? NULL : needed + begin;
    memset(input_error + begin, 0, count * sizeof *input_error);
    if (!word_aligned(edges)) {
        error_of_rows(error, edges, rows, begin, end, scratch, input_error);
    } else {
        struct pt_edges slice = *edges;
        slice.weights += begin;
        if (slice.scores != NULL) {
            slice.scores += begin;
        }
        error_of_words(error, &slice, rows, count, needed_words(wanted), input_error + begin);
        if (needed_words(wanted) == wanted) {
            return;
        }
    }
    pt_linear_leave_out(wanted, count, input_error + begin);
}

void pt_linear_error_s32(const int8_t *error, const struct pt_edges *edges, uint32_t rows,
                         const int8_t *needed, void *scratch, int32_t *input_error)
{
    const uint32_t length = edges->row_length;
    if (edges->bitmap == NULL) {
        pt_linear_error_slice_s32(error, edges, rows, 0, length, needed, scratch, input_error);
        return;
    }
    memset(input_error, 0, length * sizeof *input_error);
    if (((length | (uintptr_t)edges->weights) & 3u) != 0u) {
        error_of_rows(error, edges, rows, 0, length, scratch, input_error);
    } else {
        error_of_sparse_words(error, edges, rows, needed_words(needed), input_error);
    }
    pt_linear_leave_out(needed, length, input_error);
}
