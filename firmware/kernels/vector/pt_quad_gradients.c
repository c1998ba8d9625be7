#include "kernels/vector/pt_quad_gradients.h"

#include <stddef.h>

#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/vector/pt_quads.h"

#ifdef PT_AVX512

enum {
    SHORTEST = 64,      /* rows that are worth it */
    BLOCK = 64,         /* elements of a row at a time: four vectors of sums */
    MOST_TERMS = 1 << 14,
    MOST_ERRORS = 1 << 18
};

/* For every block of a row, and every quad of positions, its four vectors. */
static pt_words patches[(1 << 22) / sizeof(pt_words)];
/* Row after row, a quad of positions in each word. */
static _Alignas(4) int8_t errors[MOST_ERRORS];
static int8_t patch[4][MOST_TERMS];

static uint32_t quads_of(const struct pt_shape *shape)
{
    return (pt_shape_positions(shape) + 3u) / 4u;
}

static uint32_t blocks_of(const struct pt_shape *shape)
{
    return (pt_shape_patch_size(shape) + BLOCK - 1u) / BLOCK;
}

bool pt_quad_gradients_fit(const struct pt_shape *shape)
{
    const uint32_t length = pt_shape_patch_size(shape);
    return length >= SHORTEST && length <= MOST_TERMS &&
           quads_of(shape) <= MOST_ERRORS / 4u / shape->out_c &&
           quads_of(shape) * blocks_of(shape) * BLOCK <= sizeof patches / 4u;
}

static const int8_t *gather(const struct pt_shape *shape, uint32_t position, const int8_t *input,
                            int8_t *to)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const struct pt_overlap window =
        pt_overlap_at(shape, position / shape->out_w, position % shape->out_w);
    const int8_t *from = input + window.input_start;
    int8_t *row = to + window.row_begin * kernel_row + window.kernel_start;
    if (window.length != kernel_row || window.row_end - window.row_begin != shape->kernel_h) {
        memset(to, 0, pt_shape_patch_size(shape));
    }
    for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
        memcpy(row, from, window.length);
        row += kernel_row;
        from += (uint32_t)shape->in_w * shape->in_c;
    }
    return to;
}

void pt_quad_gradients_begin(const struct pt_shape *shape, const int8_t *input,
                             const int8_t *error)
{
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t quads = quads_of(shape);
    memset(errors, 0, shape->out_c * quads * 4u);
    for (uint32_t p = 0; p < positions; ++p) {
        for (uint32_t c = 0; c < shape->out_c; ++c) {
            errors[c * quads * 4u + p] = *error++;
        }
    }
    for (uint32_t q = 0; q < quads; ++q) {
        const int8_t *rows[4] = {NULL, NULL, NULL, NULL};
        for (uint32_t i = 0; i < 4u && 4u * q + i < positions; ++i) {
            rows[i] = gather(shape, 4u * q + i, input, patch[i]);
        }
        pt_words *to = patches + q * (BLOCK / PT_VECTOR);
        for (uint32_t k = 0; k < length; k += PT_VECTOR) {
            const uint32_t at = k / BLOCK * quads * (BLOCK / PT_VECTOR) + k % BLOCK / PT_VECTOR;
            to[at] = pt_quads_beside(rows, k, pt_vector_count(length - k)) ^ PT_QUADS_MOVED;
        }
    }
}

void pt_quad_gradients_row(const struct pt_shape *shape, uint32_t row, int32_t *gradient)
{
    static uint32_t active[MOST_ERRORS / 4];
    static pt_words factor[MOST_ERRORS / 4];
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t quads = quads_of(shape);
    uint32_t count = 0;
    pt_words total = {0};
    for (uint32_t q = 0; q < quads; ++q) {
        uint32_t word;
        memcpy(&word, errors + 4u * (row * quads + q), sizeof word);
        if (word != 0u) {
            active[count] = q * (BLOCK / PT_VECTOR);
            factor[count] = pt_words_all(word);
            total = pt_dot4(total, pt_words_all(PT_QUADS_MOVED), factor[count]);
            ++count;
        }
    }
    const pt_words start = pt_words_all(0) - total;
    for (uint32_t k = 0; k < length; k += BLOCK) {
        const pt_words *block = patches + k / BLOCK * quads * (BLOCK / PT_VECTOR);
        pt_words sum[4] = {start, start, start, start};
        for (uint32_t i = 0; i < count; ++i) {
            const pt_words *quad = block + active[i];
            for (uint32_t v = 0; v < 4u; ++v) {
                sum[v] = pt_dot4(sum[v], quad[v], factor[i]);
            }
        }
        for (uint32_t v = 0; v < 4u && k + v * PT_VECTOR < length; ++v) {
            const uint32_t at = k + v * PT_VECTOR;
            pt_store_words(gradient + at, sum[v], pt_vector_count(length - at));
        }
    }
}

#else

bool pt_quad_gradients_fit(const struct pt_shape *shape)
{
    (void)shape;
    return false;
}

void pt_quad_gradients_begin(const struct pt_shape *shape, const int8_t *input,
                             const int8_t *error)
{
    (void)shape;
    (void)input;
    (void)error;
}

void pt_quad_gradients_row(const struct pt_shape *shape, uint32_t row, int32_t *gradient)
{
    (void)shape;
    (void)row;
    (void)gradient;
}

#endif
