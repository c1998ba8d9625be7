#include "kernels/vector/pt_quad_gradients.h"

#include <stddef.h>

#include "kernels/portable/pt_descend.h"
#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/vector/pt_kept.h"
#include "kernels/vector/pt_quads.h"

#ifdef PT_AVX512

enum {
    SHORTEST = 64,      /* rows that are worth it */
    BLOCK = 64,         /* elements of a row at a time: four vectors of sums */
    MOST_TERMS = 1 << 14,
    MOST_ERRORS = 1 << 18,
    ROWS = 4 /* that use patches together */
};

/* For every block of a row, and every quad of positions, its four vectors. */
static pt_words patches[(1 << 22) / sizeof(pt_words)];
/* Row after row, a quad of positions in each word. */
static _Alignas(4) int8_t errors[MOST_ERRORS];
static int8_t patch[4][MOST_TERMS];
/* Rows before this one are updated. */
static uint32_t updated;

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
    updated = 0;
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

/* Errors of a few rows, where any of them has one in a quad. */
struct active {
    uint32_t count;
    uint32_t patch[MOST_ERRORS / 4];
    uint32_t factor[MOST_ERRORS / 4][ROWS];
    pt_words start[ROWS]; /* what moving the patches up adds comes off */
};

static struct active active;

static void find_active(uint32_t row, uint32_t rows, uint32_t quads)
{
    uint32_t count = 0;
    pt_words total[ROWS] = {{0}};
    for (uint32_t q = 0; q < quads; ++q) {
        uint32_t *factor = active.factor[count];
        uint32_t any = 0;
        for (uint32_t r = 0; r < ROWS; ++r) {
            factor[r] = 0;
            if (r < rows) {
                memcpy(&factor[r], errors + 4u * ((row + r) * quads + q), sizeof factor[r]);
            }
            any |= factor[r];
        }
        if (any != 0u) {
            active.patch[count++] = q * (BLOCK / PT_VECTOR);
            for (uint32_t r = 0; r < ROWS; ++r) {
                total[r] = pt_dot4(total[r], pt_words_all(PT_QUADS_MOVED), pt_words_all(factor[r]));
            }
        }
    }
    for (uint32_t r = 0; r < ROWS; ++r) {
        active.start[r] = pt_words_all(0) - total[r];
    }
    active.count = count;
}

/* The gradients of a block of the active rows. */
static inline void sum_block(const pt_words *block, uint32_t rows,
                             pt_words sums[ROWS][BLOCK / PT_VECTOR])
{
    pt_words sum[ROWS][BLOCK / PT_VECTOR];
    for (uint32_t r = 0; r < rows; ++r) {
        for (uint32_t v = 0; v < BLOCK / PT_VECTOR; ++v) {
            sum[r][v] = active.start[r];
        }
    }
    for (uint32_t i = 0; i < active.count; ++i) {
        const pt_words *quad = block + active.patch[i];
        for (uint32_t r = 0; r < rows; ++r) {
            const pt_words factor = pt_words_all(active.factor[i][r]);
            for (uint32_t v = 0; v < BLOCK / PT_VECTOR; ++v) {
                sum[r][v] = pt_dot4(sum[r][v], quad[v], factor);
            }
        }
    }
    for (uint32_t r = 0; r < rows; ++r) {
        for (uint32_t v = 0; v < BLOCK / PT_VECTOR; ++v) {
            sums[r][v] = sum[r][v];
        }
    }
}

void pt_quad_gradients_row(const struct pt_shape *shape, uint32_t row, int32_t *gradient)
{
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t quads = quads_of(shape);
    find_active(row, 1, quads);
    for (uint32_t k = 0; k < length; k += BLOCK) {
        pt_words sums[ROWS][BLOCK / PT_VECTOR];
        sum_block(patches + k / PT_VECTOR * quads, 1, sums);
        for (uint32_t v = 0; v < 4u && k + v * PT_VECTOR < length; ++v) {
            const uint32_t at = k + v * PT_VECTOR;
            pt_store_words(gradient + at, sums[0][v], pt_vector_count(length - at));
        }
    }
}

/* The rows that are updated together. */
static void describe(const struct pt_quad_update *update, uint32_t rows, uint32_t length,
                     struct pt_descent descent[ROWS])
{
    const bool scored = update->scores != NULL;
    int8_t *scores = update->scores;
    const uint8_t *bitmap = update->bitmap;
    for (uint32_t r = 0; r < rows; ++r) {
        int8_t *weights = update->weights + r * length;
        descent[r] = (struct pt_descent){
            .state = scored ? scores : weights,
            .weights = scored ? weights : NULL,
            .gradient_shift = scored ? update->gradient_shift : 0u,
            .shift = update->shift,
            .kept = scored ? pt_kept_row(weights) : (struct pt_kept_row){NULL, 0},
            .bitmap = bitmap,
        };
        if (bitmap != NULL) {
            scores += pt_bitmap_count(bitmap, length);
            bitmap += pt_bitmap_size(length);
        } else if (scored) {
            scores += length;
        }
    }
}

uint32_t pt_quad_gradients_update(const struct pt_shape *shape, uint32_t row,
                                  const struct pt_quad_update *update)
{
    const uint32_t length = pt_shape_patch_size(shape);
    const uint32_t quads = quads_of(shape);
    const uint32_t left = shape->out_c - row;
    const uint32_t rows = left < ROWS ? left : ROWS;
    struct pt_descent descent[ROWS];
    uint32_t saturated = 0;
    if (row < updated) {
        return 0;
    }
    updated = row + rows;
    find_active(row, rows, quads);
    if (active.count == 0u) {
        return 0; /* no gradient (docs/numerics.md, section 10) */
    }
    describe(update, rows, length, descent);
    for (uint32_t k = 0; k < length; k += BLOCK) {
        const __mmask64 edges = pt_first_bytes(length - k);
        pt_words sums[ROWS][BLOCK / PT_VECTOR];
        sum_block(patches + k / PT_VECTOR * quads, ROWS, sums);
        for (uint32_t r = 0; r < rows; ++r) {
            __m512i g[4];
            for (uint32_t v = 0; v < 4u; ++v) {
                g[v] = (__m512i)sums[r][v];
            }
            saturated += edges == ~0ull ? pt_descend_by(&descent[r], k, ~0ull, g)
                                        : pt_descend_by(&descent[r], k, edges, g);
        }
    }
    return saturated;
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

uint32_t pt_quad_gradients_update(const struct pt_shape *shape, uint32_t row,
                                  const struct pt_quad_update *update)
{
    (void)shape;
    (void)row;
    (void)update;
    return 0;
}

#endif
