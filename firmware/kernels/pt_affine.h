/*
 * Layers of the affine form, forward: int8 in [-128, 127], TensorFlow Lite Micro's arithmetic
 * (docs/numerics.md, section 14).
 *
 *   input  int8 [in_h, in_w, in_c]    output int8 [out_h, out_w, out_c]
 *   out = min(max(zero_out + scale(sum, multiplier, shift), low), high)
 *
 * Shapes, weights and factors are those of a model that was checked (section 14, Range), so nothing
 * overflows. Padding is that above and left; what lies outside the input is left out of sums,
 * maxima and means. Buffers must not overlap, but for the two inputs of an add.
 *
 * Weights are edges; a pruned one counts as 0. Zero points come off the activations, so that a mask
 * moves none. Scratch is aligned to 4; it needs no initial value and holds nothing afterwards.
 */
#ifndef PT_AFFINE_H
#define PT_AFFINE_H

#include <stdint.h>

#include "kernels/pt_edges.h"
#include "kernels/pt_shape.h"

/* Of a row of weights; or of an input or the output of an add, of a mean: their bias is 0. */
struct pt_factor {
    int32_t bias;
    int32_t multiplier; /* 0, or 2^30 to 2^31 - 1; of a mean from 2^29 */
    int32_t shift;      /* -31..30 */
};

/* Bits that both inputs of an add gain before they are brought to a common scale. */
enum { PT_ADD_HEADROOM = 20 };

/* What a tile of patches, two elements in a word, and a band of rows of a channel may take. */
enum { PT_TILE_WORDS = 2048, PT_BAND_WORDS = 1536 };

struct pt_affine {
    const struct pt_factor *factor;
    int32_t zero_in[2]; /* of each input */
    int32_t zero_out;
    int32_t low;
    int32_t high;
};

/* Patches that are worked on together, an even number: as many as 8 KiB hold, 4 to 128. */
static inline uint32_t pt_affine_rows_tile(uint32_t length, uint32_t positions)
{
    const uint32_t fit = PT_TILE_WORDS / pt_round4(length) * 2u;
    const uint32_t most = fit < 4u ? 4u : fit > 128u ? 128u : fit;
    const uint32_t all = (positions + 1u) & ~1u;
    return all < most ? all : most;
}

/* Bytes: an effective row, two patches, the row as words, sums and patches of a tile as words. */
static inline uint32_t pt_affine_rows_scratch(uint32_t length, uint32_t positions)
{
    const uint32_t tile = pt_affine_rows_tile(length, positions);
    return 5u * pt_round4(length) + (4u + 2u * pt_round4(length)) * tile;
}

static inline uint32_t pt_affine_conv2d_scratch(const struct pt_shape *shape)
{
    return pt_affine_rows_scratch(pt_shape_patch_size(shape), pt_shape_positions(shape));
}

/* Of a 3x3 kernel: words of a row of one channel; rows of outputs made together, as 6 KiB hold. */
static inline uint32_t pt_affine_depthwise_pitch(const struct pt_shape *shape)
{
    return shape->stride_w * ((shape->out_w + 1u) & ~1u) + 3u - shape->stride_w;
}

static inline uint32_t pt_affine_depthwise_band(const struct pt_shape *shape)
{
    const uint32_t pitch = pt_affine_depthwise_pitch(shape);
    const uint32_t first = pitch * (3u - shape->stride_h);
    const uint32_t row = pitch * shape->stride_h + shape->out_w;
    const uint32_t fit = first < PT_BAND_WORDS ? (PT_BAND_WORDS - first) / row : 0u;
    const uint32_t band = fit < 1u ? 1u : fit;
    return band < shape->out_h ? band : shape->out_h;
}

/* Bytes: as a convolution of one channel; or of 3x3 what an effective row, words and sums take. */
static inline uint32_t pt_affine_depthwise_scratch(const struct pt_shape *shape)
{
    const uint32_t taps = (uint32_t)shape->kernel_h * shape->kernel_w;
    const uint32_t rows = pt_affine_rows_scratch(taps, pt_shape_positions(shape));
    if (shape->kernel_h != 3u || shape->kernel_w != 3u) {
        return rows;
    }
    const uint32_t band = pt_affine_depthwise_band(shape);
    const uint32_t words = pt_affine_depthwise_pitch(shape) * ((band - 1u) * shape->stride_h + 3u);
    const uint32_t bytes = 12u + 4u * (words + band * shape->out_w + 1u);
    return bytes > rows ? bytes : rows;
}

static inline uint32_t pt_affine_linear_scratch(const struct pt_shape *shape)
{
    return pt_affine_rows_scratch(pt_shape_in_size(shape), 1);
}

/* edges of [out_c, kernel_h, kernel_w, in_c], a factor for each output channel. */
void pt_affine_conv2d_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output);

/* edges of [in_c, kernel_h, kernel_w], a factor for each channel. */
void pt_affine_depthwise_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                            const struct pt_edges *edges, const int8_t *input, void *scratch,
                            int8_t *output);

/* edges of [out_c, in_h * in_w * in_c], a factor for each output. */
void pt_affine_linear_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                         const struct pt_edges *edges, const int8_t *input, void *scratch,
                         int8_t *output);

/* The kernel is the window, 1..255 on each axis like the strides. No factor. */
void pt_affine_maxpool_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                          const int8_t *input, int8_t *output);

/* The mean of each window, rounded half away from zero. No factor. */
void pt_affine_avgpool_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                          const int8_t *input, int8_t *output);

/* The mean of the whole input, a sum times one factor; output int8 [1, 1, in_c]. */
void pt_affine_mean_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                       const int8_t *input, int8_t *output);

/* Factors of a, of b and of the output; all of one shape. */
void pt_affine_add_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                      const int8_t *a, const int8_t *b, int8_t *output);

#endif
