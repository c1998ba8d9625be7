/*
 * Kernels on two cores against the same kernels alone, on random layers: cut anywhere, either half
 * late (firmware/boards/host/cores/core.c, PICOTRAIN_CORES).
 *
 *   splits JOBS SEED      until the other core has had so many jobs
 *
 * Prints how many layers and jobs there were, and ends with 1 at the first difference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/parallel/pt_gradient_scratch.h"
#include "kernels/parallel/pt_share.h"
#include "kernels/pt_affine.h"
#include "kernels/pt_affine_backward.h"
#include "kernels/pt_conv2d.h"
#include "kernels/pt_conv2d_pool.h"
#include "kernels/pt_linear.h"
#include "kernels/pt_maxpool2.h"
#include "kernels/pt_requantize.h"
#include "kernels/pt_update.h"

#define ALONE(name) __typeof__(name) name##_alone
ALONE(pt_conv2d_forward_s32);
ALONE(pt_conv2d_forward_s8);
ALONE(pt_conv2d_error_s32);
ALONE(pt_conv2d_gradient_begin);
ALONE(pt_conv2d_gradient_row_s32);
ALONE(pt_conv2d_pool_forward_s8);
ALONE(pt_conv2d_pool_error_s8);
ALONE(pt_conv2d_pool_gradient_begin);
ALONE(pt_conv2d_pool_gradient_row_s32);
ALONE(pt_linear_forward_s32);
ALONE(pt_linear_forward_s8);
ALONE(pt_linear_error_s32);
ALONE(pt_update_linear_begin);
ALONE(pt_maxpool2_forward_s8);
ALONE(pt_maxpool2_error_s8);
ALONE(pt_requantize_s8);
ALONE(pt_requantize_error_s8);
ALONE(pt_max_abs_s32);
ALONE(pt_affine_conv2d_s8);
ALONE(pt_affine_depthwise_s8);
ALONE(pt_affine_linear_s8);
ALONE(pt_affine_maxpool_s8);
ALONE(pt_affine_avgpool_s8);
ALONE(pt_affine_add_s8);
ALONE(pt_affine_conv2d_error_s32);
ALONE(pt_affine_depthwise_error_s32);
ALONE(pt_affine_merge_sums_s32);

enum { EXTENT = 14, CHANNELS = 20, KERNEL = 5, ROOM = 1 << 16 };

static uint32_t state;

static uint32_t drawn(uint32_t from, uint32_t to)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return from + state % (to - from + 1u);
}

/* What the linker puts before the post of the board. */
static unsigned long jobs;
void __real_pt_core_post(void (*work)(void *argument), void *argument);
void __wrap_pt_core_post(void (*work)(void *argument), void *argument);

void __wrap_pt_core_post(void (*work)(void *argument), void *argument)
{
    ++jobs;
    __real_pt_core_post(work, argument);
}

static _Alignas(8) int8_t input[ROOM], other[ROOM], error[ROOM], weights[ROOM], scores[ROOM];
static uint8_t bitmap[ROOM];
static int32_t sums[ROOM];
static struct pt_factor factors[CHANNELS * EXTENT];
static _Alignas(8) uint8_t scratch[8 * ROOM];

/* Of both: whole, so that what is written beside an output shows. */
static _Alignas(8) uint8_t wanted[4 * ROOM], got[4 * ROOM];

static struct pt_shape shape;
static struct pt_edges edges;
static struct pt_affine affine;

static void fill(int8_t *values, uint32_t count, uint32_t zeros, int32_t least)
{
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t value = (int32_t)drawn(0, (uint32_t)(127 - least)) + least;
        values[i] = drawn(0, 99) < zeros ? 0 : (int8_t)value;
    }
}

static void draw_edges(uint32_t rows, uint32_t length, int32_t least)
{
    const uint32_t masks = drawn(0, 2);
    fill(weights, rows * length, 10, least);
    fill(scores, rows * length, 10, -127);
    for (uint32_t row = 0; row < rows; ++row) {
        uint8_t *bits = bitmap + row * pt_bitmap_size(length);
        memset(bits, 0, pt_bitmap_size(length));
        for (uint32_t i = 0; i < length; ++i) {
            bits[i / 8u] |= (uint8_t)((drawn(0, 4) == 0u ? 1u : 0u) << i % 8u);
        }
    }
    edges = (struct pt_edges){
        weights, masks == 0u ? NULL : scores, masks == 2u ? bitmap : NULL,
        (int32_t)drawn(0, 120) - 60, length,
    };
}

static uint16_t extent_of_output(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t padding,
                                 bool same)
{
    /* Affine: the last window may lie over the edge. */
    const uint32_t whole = in + 2u * padding < kernel ? 1u
                                                      : (in + 2u * padding - kernel) / stride + 1u;
    const uint32_t most = (in + padding - 1u) / stride + 1u;
    return (uint16_t)(same || whole > most ? whole : drawn(whole, most));
}

/* `same`: of the power-of-two form. */
static void draw_window(bool same)
{
    do {
        shape.in_h = (uint16_t)drawn(1, EXTENT);
        shape.in_w = (uint16_t)drawn(1, EXTENT);
        shape.in_c = (uint16_t)drawn(1, CHANNELS);
        shape.out_c = (uint16_t)drawn(1, CHANNELS);
        shape.kernel_h = (uint8_t)drawn(1, KERNEL);
        shape.kernel_w = (uint8_t)drawn(1, KERNEL);
        shape.stride_h = (uint8_t)drawn(1, same ? 2 : 4);
        shape.stride_w = same ? shape.stride_h : (uint8_t)drawn(1, 4);
        shape.padding_h = (uint8_t)drawn(0, shape.kernel_h - 1u);
        shape.padding_w = (uint8_t)drawn(0, shape.kernel_w - 1u);
    } while (shape.in_h + 2u * shape.padding_h < shape.kernel_h ||
             shape.in_w + 2u * shape.padding_w < shape.kernel_w);
    shape.out_h = extent_of_output(shape.in_h, shape.kernel_h, shape.stride_h, shape.padding_h,
                                   same);
    shape.out_w = extent_of_output(shape.in_w, shape.kernel_w, shape.stride_w, shape.padding_w,
                                   same);
}

static void draw_affine(uint32_t rows)
{
    for (uint32_t row = 0; row < rows; ++row) {
        factors[row].bias = (int32_t)drawn(0, 4000) - 2000;
        factors[row].multiplier = drawn(0, 9) == 0u ? 0 : (int32_t)drawn(1u << 30, INT32_MAX);
        factors[row].shift = -(int32_t)drawn(1, 12);
    }
    affine = (struct pt_affine){
        factors, {(int32_t)drawn(0, 255) - 128, (int32_t)drawn(0, 255) - 128},
        (int32_t)drawn(0, 255) - 128, INT8_MIN, INT8_MAX,
    };
    if (drawn(0, 1) == 0u) {
        affine.low = affine.zero_out;
    }
}

static void tensors(uint32_t zeros, int32_t least)
{
    fill(input, pt_shape_in_size(&shape), zeros, least);
    fill(other, pt_shape_in_size(&shape), zeros, least);
    fill(error, pt_shape_out_size(&shape), zeros, -127);
}

/* Each returns whether the answers are the same; then the outputs are compared. */

static bool forward_s32(void)
{
    pt_conv2d_forward_s32_alone(&shape, input, &edges, scratch, (int32_t *)wanted);
    pt_conv2d_forward_s32(&shape, input, &edges, scratch, (int32_t *)got);
    return true;
}

static bool forward_s8(void)
{
    const uint32_t shift = drawn(0, 12);
    const bool relu = drawn(0, 1) != 0u;
    return pt_conv2d_forward_s8_alone(&shape, input, &edges, shift, relu, scratch,
                                      (int8_t *)wanted) ==
           pt_conv2d_forward_s8(&shape, input, &edges, shift, relu, scratch, (int8_t *)got);
}

static bool input_error(void)
{
    pt_conv2d_error_s32_alone(&shape, error, &edges, scratch, (int32_t *)wanted);
    pt_conv2d_error_s32(&shape, error, &edges, scratch, (int32_t *)got);
    return true;
}

/* What both cores have made serves the rows of either. */
static bool gradient(void)
{
    const uint32_t length = pt_shape_patch_size(&shape);
    pt_conv2d_gradient_begin_alone(&shape, input, error, scratch);
    for (uint32_t row = 0; row < shape.out_c; ++row) {
        pt_conv2d_gradient_row_s32_alone(&shape, row, input, error, scratch,
                                   (int32_t *)wanted + row * length);
    }
    memset(scratch, 0x55, sizeof scratch);
    pt_conv2d_gradient_begin(&shape, input, error, scratch);
    for (uint32_t row = 0; row < shape.out_c; ++row) {
        const bool there = row % 2u != 0u && pt_gradient_shared(&shape);
        void *kept = there ? pt_gradient_scratch(&shape) : (void *)scratch;
        pt_conv2d_gradient_row_s32(&shape, row, input, error, kept,
                                   (int32_t *)got + row * length);
    }
    return true;
}

static uint8_t places[ROOM];

static bool pair_forward(void)
{
    const uint32_t shift = drawn(0, 12);
    const uint32_t size = pt_round4(pt_pooled_size(&shape));
    return pt_conv2d_pool_forward_s8_alone(&shape, input, &edges, shift, scratch,
                                           (int8_t *)wanted, wanted + size) ==
           pt_conv2d_pool_forward_s8(&shape, input, &edges, shift, scratch, (int8_t *)got,
                                     got + size);
}

static bool pair_error(void)
{
    const uint32_t shift = drawn(0, 12);
    const int8_t *activation = drawn(0, 1) == 0u ? NULL : input;
    return pt_conv2d_pool_error_s8_alone(&shape, error, places, &edges, activation, shift, scratch,
                                         (int8_t *)wanted) ==
           pt_conv2d_pool_error_s8(&shape, error, places, &edges, activation, shift, scratch,
                                   (int8_t *)got);
}

static bool pair_gradient(void)
{
    const uint32_t length = pt_shape_patch_size(&shape);
    pt_conv2d_pool_gradient_begin_alone(&shape, input, error, scratch);
    for (uint32_t row = 0; row < shape.out_c; ++row) {
        pt_conv2d_pool_gradient_row_s32_alone(&shape, row, error, places, scratch,
                                              (int32_t *)wanted + row * length);
    }
    memset(scratch, 0x55, sizeof scratch);
    pt_conv2d_pool_gradient_begin(&shape, input, error, scratch);
    for (uint32_t row = 0; row < shape.out_c; ++row) {
        const bool there = row % 2u != 0u && pt_gradient_shared(&shape);
        void *kept = there ? pt_gradient_scratch(&shape) : (void *)scratch;
        pt_conv2d_pool_gradient_row_s32(&shape, row, error, places, kept,
                                        (int32_t *)got + row * length);
    }
    return true;
}

static void compare(bool same, const char *what)
{
    if (same && memcmp(wanted, got, sizeof got) == 0) {
        return;
    }
    printf("%s differs: in %ux%ux%u out %ux%ux%u kernel %ux%u stride %u %u padding %u %u\n", what,
           shape.in_h, shape.in_w, shape.in_c, shape.out_h, shape.out_w, shape.out_c,
           shape.kernel_h, shape.kernel_w, shape.stride_h, shape.stride_w, shape.padding_h,
           shape.padding_w);
    exit(EXIT_FAILURE);
}

static void convolution(bool (*run)(void), const char *what)
{
    draw_window(true);
    draw_edges(shape.out_c, pt_shape_patch_size(&shape), -127);
    tensors(drawn(0, 1) * 80u, -(int32_t)drawn(0, 1) * 127);
    compare(run(), what);
}

/* With a pool behind it. */
static void pair(bool (*run)(void), const char *what)
{
    do {
        draw_window(true);
    } while (shape.out_h < 2u || shape.out_w < 2u);
    if (drawn(0, 1) != 0u) {
        shape.out_c = (uint16_t)((shape.out_c + 3u) & ~3u); /* else few can be cut */
    }
    draw_edges(shape.out_c, pt_shape_patch_size(&shape), -127);
    tensors(drawn(0, 1) * 80u, -(int32_t)drawn(0, 1) * 127);
    for (uint32_t i = 0; i < pt_places_size(&shape); ++i) {
        places[i] = (uint8_t)drawn(0, 255);
    }
    compare(run(), what);
}

/* How many there are and the list; nothing is said of what lies behind. */
static void list_of(void (*begin)(const int8_t *values, uint32_t count, void *place),
                    uint32_t length, uint8_t *place)
{
    uint32_t *words = (uint32_t *)place;
    begin(input, length, place);
    memset(words + 1 + words[0], 0, 4u * (length - words[0]));
}

static void linear(void)
{
    const bool many = drawn(0, 2) == 0u; /* inputs, so that both cores list them */
    const uint32_t rows = drawn(1, 40);
    const uint32_t length = many ? drawn(250, 600) : drawn(1, 150);
    const uint32_t shift = drawn(0, 12);
    const bool relu = drawn(0, 1) != 0u;
    shape = (struct pt_shape){1, 1, (uint16_t)length, 1, 1, (uint16_t)rows, 1, 1, 1, 1, 0, 0};
    draw_edges(rows, length, -127);
    tensors(drawn(0, 1) * 80u, -(int32_t)drawn(0, 1) * 127);
    pt_linear_forward_s32_alone(input, &edges, rows, scratch, (int32_t *)wanted);
    pt_linear_forward_s32(input, &edges, rows, scratch, (int32_t *)got);
    compare(true, "linear forward");
    compare(pt_linear_forward_s8_alone(input, &edges, rows, shift, relu, scratch,
                                       (int8_t *)wanted) ==
                pt_linear_forward_s8(input, &edges, rows, shift, relu, scratch, (int8_t *)got),
            "linear forward, requantised");
    const int8_t *needed = drawn(0, 1) != 0u ? input : NULL;
    pt_linear_error_s32_alone(error, &edges, rows, needed, scratch, (int32_t *)wanted);
    pt_linear_error_s32(error, &edges, rows, needed, scratch, (int32_t *)got);
    compare(true, "linear error");
    list_of(pt_update_linear_begin_alone, length, wanted);
    list_of(pt_update_linear_begin, length, got);
    compare(true, "list of inputs");
}

static void maxpool(void)
{
    const bool relu = drawn(0, 1) != 0u;
    draw_window(true);
    shape.in_h = (uint16_t)drawn(2, EXTENT);
    shape.in_w = (uint16_t)drawn(2, EXTENT);
    shape.out_h = shape.in_h / 2u;
    shape.out_w = shape.in_w / 2u;
    shape.out_c = shape.in_c;
    shape.kernel_h = shape.kernel_w = shape.stride_h = shape.stride_w = 2;
    shape.padding_h = shape.padding_w = 0;
    tensors(50, relu ? 0 : -127);
    pt_maxpool2_forward_s8_alone(&shape, input, (int8_t *)wanted);
    pt_maxpool2_forward_s8(&shape, input, (int8_t *)got);
    compare(true, "max-pool forward");
    pt_maxpool2_error_s8_alone(&shape, input, error, relu, (int8_t *)wanted);
    pt_maxpool2_error_s8(&shape, input, error, relu, (int8_t *)got);
    compare(true, "max-pool error");
}

static void elements(void)
{
    const uint32_t count = drawn(1, 700);
    const uint32_t shift = drawn(0, 16);
    const bool relu = drawn(0, 1) != 0u;
    struct pt_merge merge = {
        (int8_t *)wanted, (int32_t)drawn(0, 1) * (int32_t)drawn(1u << 14, 65535), drawn(15, 30),
        drawn(0, 1) != 0u,
    };
    for (uint32_t i = 0; i < count; ++i) {
        sums[i] = (int32_t)drawn(0, 1u << 24) - (1 << 23);
    }
    fill(input, count, 40, 0);
    compare(pt_requantize_s8_alone(sums, count, shift, relu, (int8_t *)wanted) ==
                pt_requantize_s8(sums, count, shift, relu, (int8_t *)got),
            "requantisation");
    const int8_t *activation = relu ? input : NULL;
    compare(pt_requantize_error_s8_alone(sums, activation, count, shift, (int8_t *)wanted) ==
                pt_requantize_error_s8(sums, activation, count, shift, (int8_t *)got),
            "requantisation of an error");
    compare(pt_max_abs_s32_alone(sums, count) == pt_max_abs_s32(sums, count), "magnitude");
    const uint32_t saturated = pt_affine_merge_sums_s32_alone(sums, count, shift, &merge);
    merge.error = (int8_t *)got;
    compare(saturated == pt_affine_merge_sums_s32(sums, count, shift, &merge), "merging");
}

static void affine_layers(void)
{
    int8_t *alone = (int8_t *)wanted;
    int8_t *shared = (int8_t *)got;
    draw_window(false);
    draw_edges(shape.out_c, pt_shape_patch_size(&shape), -128);
    draw_affine(shape.out_c);
    tensors(drawn(0, 1) * 80u, -128);
    pt_affine_conv2d_s8_alone(&shape, &affine, &edges, input, scratch, alone);
    pt_affine_conv2d_s8(&shape, &affine, &edges, input, scratch, shared);
    compare(true, "affine convolution");
    pt_affine_conv2d_error_s32_alone(&shape, error, &edges, scratch, (int32_t *)wanted);
    pt_affine_conv2d_error_s32(&shape, error, &edges, scratch, (int32_t *)got);
    compare(true, "affine convolution's error");

    draw_window(false);
    shape.out_c = shape.in_c;
    if (drawn(0, 1) != 0u) {
        shape.kernel_h = shape.kernel_w = 3;
        shape.stride_h = shape.stride_w = (uint8_t)drawn(1, 2);
        shape.padding_h = shape.padding_w = 1;
        shape.out_h = (uint16_t)((shape.in_h + 1u) / shape.stride_h);
        shape.out_w = (uint16_t)((shape.in_w + 1u) / shape.stride_w);
    }
    draw_edges(shape.in_c, (uint32_t)shape.kernel_h * shape.kernel_w, -128 + (int32_t)drawn(0, 1));
    draw_affine(shape.in_c);
    tensors(drawn(0, 1) * 80u, -128);
    pt_affine_depthwise_s8_alone(&shape, &affine, &edges, input, scratch, alone);
    pt_affine_depthwise_s8(&shape, &affine, &edges, input, scratch, shared);
    compare(true, "depthwise");
    pt_affine_depthwise_error_s32_alone(&shape, error, &edges, scratch, (int32_t *)wanted);
    pt_affine_depthwise_error_s32(&shape, error, &edges, scratch, (int32_t *)got);
    compare(true, "depthwise error");
    pt_affine_maxpool_s8_alone(&shape, &affine, input, alone);
    pt_affine_maxpool_s8(&shape, &affine, input, shared);
    compare(true, "affine max-pool");
    pt_affine_avgpool_s8_alone(&shape, &affine, input, alone);
    pt_affine_avgpool_s8(&shape, &affine, input, shared);
    compare(true, "average");

    shape = (struct pt_shape){
        shape.in_h, shape.in_w, shape.in_c, shape.in_h, shape.in_w, shape.in_c, 1, 1, 1, 1, 0, 0,
    };
    draw_affine(3);
    factors[0].multiplier = factors[1].multiplier = factors[2].multiplier = 1 << 30;
    factors[0].shift = factors[1].shift = 0;
    factors[2].shift = -(int32_t)drawn(16, 20);
    pt_affine_add_s8_alone(&shape, &affine, input, other, alone);
    pt_affine_add_s8(&shape, &affine, input, other, shared);
    compare(true, "add");

    shape = (struct pt_shape){1, 1, (uint16_t)drawn(1, 150), 1, 1, (uint16_t)drawn(1, 40), 1, 1, 1,
                              1, 0, 0};
    draw_edges(shape.out_c, shape.in_c, -128);
    draw_affine(shape.out_c);
    tensors(0, -128);
    pt_affine_linear_s8_alone(&shape, &affine, &edges, input, scratch, alone);
    pt_affine_linear_s8(&shape, &affine, &edges, input, scratch, shared);
    compare(true, "affine linear");
}

int main(int argc, char **argv)
{
    unsigned long layers = 0;
    if (argc != 3) {
        return EXIT_FAILURE;
    }
    state = (uint32_t)strtoul(argv[2], NULL, 10) * 2654435761u | 1u;
    for (; jobs < strtoul(argv[1], NULL, 10); ++layers) {
        convolution(forward_s32, "convolution");
        convolution(forward_s8, "convolution, requantised");
        convolution(input_error, "convolution's error");
        convolution(gradient, "gradient");
        pair(pair_forward, "pair");
        pair(pair_error, "pair's error");
        pair(pair_gradient, "pair's gradient");
        linear();
        maxpool();
        elements();
        affine_layers();
    }
    printf("%lu rounds, %lu jobs of the other core, 0 differences\n", layers, jobs);
    return EXIT_SUCCESS;
}
