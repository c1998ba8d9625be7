#include "kernels/pt_conv2d.h"

#include <stddef.h>

#include "kernels/pt_memory.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_overlap.h"

/*
 * An element of a patch. Compilers make vectors of sums of int16 products, not of int8 ones; where
 * there are none, the shorter one is faster. A row that is too short for vectors is faster beside
 * others: LANES channels are then summed at once.
 */
#ifdef __ARM_ARCH_6M__
typedef int8_t patch_element;
enum { LONGEST_IN_LANES = 0, LANES = PT_LANES };
#else
typedef int16_t patch_element;
enum { LONGEST_IN_LANES = 128, LANES = 2 * PT_LANES };
#endif

static void gather_patch(const struct pt_shape *shape, uint32_t y, uint32_t x,
                         const int8_t *input, patch_element *patch)
{
    const struct pt_overlap window = pt_overlap_at(shape, y, x);
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    const uint32_t rows = window.row_end - window.row_begin;
    if (window.length != kernel_row || rows != shape->kernel_h) {
        memset(patch, 0, pt_shape_patch_size(shape) * sizeof *patch);
    }
    patch_element *to = patch + window.row_begin * kernel_row + window.kernel_start;
    const int8_t *from = input + window.input_start;
    for (uint32_t row = 0; row < rows; ++row) {
        for (uint32_t i = 0; i < window.length; ++i) {
            to[i] = from[i];
        }
        to += kernel_row;
        from += input_row;
    }
}

static int32_t dot(const patch_element *a, const int8_t *b, uint32_t length)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < length; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

/* A block of effective rows, then a patch: with masks, rows are made for PT_LANES channels. */
struct block {
    const int8_t *rows;
    uint32_t row_size; /* from one row to the next */
    patch_element *patch;
    uint32_t begin; /* channels [begin, end) */
    uint32_t end;
};

static struct block next_block(const struct pt_shape *shape, struct pt_edges *edges,
                               uint32_t begin, void *scratch)
{
    const uint32_t length = edges->row_length;
    const uint32_t left = shape->out_c - begin;
    const bool masks = edges->scores != NULL;
    patch_element *patch = scratch;
    int8_t *masked = (int8_t *)scratch + pt_round4(length * sizeof *patch);
    const struct block block = {
        masks ? masked : edges->weights,
        masks ? pt_round4(length) : length,
        patch,
        begin,
        begin + (left < PT_LANES ? left : PT_LANES),
    };
    for (uint32_t row = block.begin; row < block.end; ++row) {
        pt_edges_next_row(edges, masked);
        masked += masks ? block.row_size : 0u;
    }
    return block;
}

void pt_conv2d_forward_s32(const struct pt_shape *shape, const int8_t *input,
                           const struct pt_edges *edges, void *scratch, int32_t *output)
{
    struct pt_edges left = *edges;
    const uint32_t length = edges->row_length;
    for (uint32_t begin = 0; begin < shape->out_c; begin += PT_LANES) {
        const struct block block = next_block(shape, &left, begin, scratch);
        int32_t *to = output;
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t x = 0; x < shape->out_w; ++x, to += shape->out_c) {
                gather_patch(shape, y, x, input, block.patch);
                for (uint32_t c = block.begin; c < block.end; ++c) {
                    const int8_t *row = block.rows + (c - block.begin) * block.row_size;
                    to[c] = dot(block.patch, row, length);
                }
            }
        }
    }
}

/* The weights of LANES channels, element by element; those that are not there are 0. */
static void fill_lanes(struct pt_edges *edges, uint32_t channels, int8_t *lanes, int8_t *masked)
{
    memset(lanes, 0, LANES * edges->row_length);
    for (uint32_t lane = 0; lane < channels; ++lane) {
        const int8_t *row = pt_edges_next_row(edges, masked);
        for (uint32_t i = 0; i < edges->row_length; ++i) {
            lanes[i * LANES + lane] = row[i];
        }
    }
}

static void sum_lanes(const struct pt_shape *shape, uint32_t y, uint32_t x, const int8_t *input,
                      const int8_t *lanes, int32_t *sums)
{
    const struct pt_overlap window = pt_overlap_at(shape, y, x);
    const int8_t *from = input + window.input_start;
    memset(sums, 0, LANES * sizeof *sums);
    for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
        const int8_t *weights =
            lanes + (k * shape->kernel_w * shape->in_c + window.kernel_start) * LANES;
        for (uint32_t i = 0; i < window.length; ++i) {
            const int16_t factor = from[i];
            for (uint32_t lane = 0; lane < LANES; ++lane) {
                sums[lane] += factor * weights[i * LANES + lane];
            }
        }
        from += (uint32_t)shape->in_w * shape->in_c;
    }
}

static uint32_t forward_in_lanes(const struct pt_shape *shape, const int8_t *input,
                                 const struct pt_edges *edges, uint32_t shift, bool relu,
                                 int8_t *scratch, int8_t *output)
{
    struct pt_edges left = *edges;
    int8_t *lanes = scratch + pt_round4(edges->row_length);
    uint32_t saturated = 0;
    for (uint32_t begin = 0; begin < shape->out_c; begin += LANES) {
        const uint32_t rest = shape->out_c - begin;
        const uint32_t channels = rest < LANES ? rest : LANES;
        int8_t *to = output + begin;
        fill_lanes(&left, channels, lanes, scratch);
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t x = 0; x < shape->out_w; ++x, to += shape->out_c) {
                int32_t sums[LANES];
                sum_lanes(shape, y, x, input, lanes, sums);
                for (uint32_t lane = 0; lane < channels; ++lane) {
                    to[lane] = pt_requantize_s32(sums[lane], shift, relu, &saturated);
                }
            }
        }
    }
    return saturated;
}

uint32_t pt_conv2d_forward_s8(const struct pt_shape *shape, const int8_t *input,
                              const struct pt_edges *edges, uint32_t shift, bool relu,
                              void *scratch, int8_t *output)
{
    if (LONGEST_IN_LANES > 0 && edges->row_length <= LONGEST_IN_LANES) {
        return forward_in_lanes(shape, input, edges, shift, relu, scratch, output);
    }
    struct pt_edges left = *edges;
    const uint32_t length = edges->row_length;
    uint32_t saturated = 0;
    for (uint32_t begin = 0; begin < shape->out_c; begin += PT_LANES) {
        const struct block block = next_block(shape, &left, begin, scratch);
        int8_t *to = output;
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t x = 0; x < shape->out_w; ++x, to += shape->out_c) {
                gather_patch(shape, y, x, input, block.patch);
                for (uint32_t c = block.begin; c < block.end; ++c) {
                    const int8_t *row = block.rows + (c - block.begin) * block.row_size;
                    to[c] = pt_requantize_s32(dot(block.patch, row, length), shift, relu,
                                              &saturated);
                }
            }
        }
    }
    return saturated;
}

void pt_conv2d_error_s32(const struct pt_shape *shape, const int8_t *error,
                         const struct pt_edges *edges, void *scratch, int32_t *input_error)
{
    pt_overlap_error_s32(shape, error, edges, scratch, input_error);
}

void pt_conv2d_gradient_begin(const struct pt_shape *shape, const int8_t *input,
                              const int8_t *error, void *scratch)
{
    (void)shape;
    (void)input;
    (void)error;
    (void)scratch;
}

void pt_conv2d_gradient_row_s32(const struct pt_shape *shape, uint32_t row, const int8_t *input,
                                const int8_t *error, void *scratch, int32_t *gradient)
{
    (void)scratch;
    memset(gradient, 0, pt_shape_patch_size(shape) * sizeof *gradient);
    pt_overlap_accumulate_s32(shape, row, error, input, false, gradient);
}
