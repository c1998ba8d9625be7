#include "kernels/vector/pt_long_rows.h"

#include <stddef.h>

#include "kernels/pt_memory.h"
#include "kernels/pt_overlap.h"
#include "kernels/vector/pt_quads.h"
#include "kernels/vector/pt_tiles.h"

#ifdef PT_TILES

enum { MOST_TERMS = 1 << 14 };

/* A panel of rows where they cannot be used as they lie, or the patches of a column of tiles. */
static _Alignas(64) int8_t panel[PT_PANEL * MOST_TERMS];
static _Alignas(64) int8_t tiles[1 << 20];

static uint32_t round_terms(uint32_t count)
{
    return (count + PT_TILE_TERMS - 1u) & ~(PT_TILE_TERMS - 1u);
}

static void gather(const struct pt_shape *shape, uint32_t position, const int8_t *input,
                   int8_t *patch)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const struct pt_overlap window =
        pt_overlap_at(shape, position / shape->out_w, position % shape->out_w);
    int8_t *to = patch + window.row_begin * kernel_row + window.kernel_start;
    const int8_t *from = input + window.input_start;
    if (window.length != kernel_row || window.row_end - window.row_begin != shape->kernel_h) {
        memset(patch, 0, pt_shape_patch_size(shape));
    }
    for (uint32_t k = window.row_begin; k < window.row_end; ++k) {
        memcpy(to, from, window.length);
        to += kernel_row;
        from += (uint32_t)shape->in_w * shape->in_c;
    }
}

/* The patches of [begin, end), in columns of tiles. Lanes and terms that are missing stay what they
 * were: the first are not used, the others are multiplied with zeros. */
static void pack_patches(const struct pt_shape *shape, const int8_t *input, uint32_t begin,
                         uint32_t end, uint32_t size)
{
    int8_t *tile = tiles;
    for (uint32_t first = begin; first < end; first += PT_TILE_SIDE) {
        for (uint32_t lane = 0; lane < PT_TILE_SIDE && first + lane < end; ++lane) {
            gather(shape, first + lane, input, panel + lane * size);
        }
        for (uint32_t at = 0; at < size; at += PT_TILE_TERMS, tile += PT_TILE_BYTES) {
            pt_tiles_pack(panel + at, size, tile);
        }
    }
}

/* A panel of rows: where they lie, if they are whole blocks, else copied. */
static const int8_t *panel_of(struct pt_edges *edges, uint32_t rows, uint32_t size, uint32_t *step)
{
    const uint32_t length = edges->row_length;
    const int8_t *weights = edges->weights;
    if (edges->scores == NULL && length == size && rows == PT_PANEL) {
        edges->weights += rows * length;
        *step = length;
        return weights;
    }
    *step = size;
    for (uint32_t row = 0; row < rows; ++row) {
        int8_t *to = panel + row * size;
        const int8_t *from = pt_edges_next_row(edges, to);
        if (from != to) {
            memcpy(to, from, length);
        }
        memset(to + length, 0, size - length);
    }
    memset(panel + rows * size, 0, (PT_PANEL - rows) * size); /* or they would count as saturated */
    return panel;
}

/* The outputs of up to 2 * 16 positions. */
static void put(const struct pt_shape *shape, int32_t sums[PT_PANEL][PT_PANEL], uint32_t position,
                uint32_t positions, uint32_t row, uint32_t rows, struct pt_outputs *outputs)
{
    const __m512i down = _mm512_mullo_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32(PT_PANEL));
    for (uint32_t r = 0; r < rows; r += PT_VECTOR) {
        for (uint32_t p = 0; p < positions; ++p) {
            const __m512i column = _mm512_i32gather_epi32(down, &sums[r][p], 4);
            pt_outputs_put(outputs, (position + p) * shape->out_c + row + r, (pt_ints)column,
                           pt_vector_count(rows - r));
        }
    }
}

bool pt_long_rows_forward(const struct pt_shape *shape, const int8_t *input,
                          const struct pt_edges *edges, struct pt_outputs *outputs)
{
    const uint32_t size = round_terms(edges->row_length);
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t fit = (uint32_t)sizeof tiles / size / PT_PANEL * PT_PANEL;
    if (size > MOST_TERMS || fit == 0u || !pt_tiles_begin()) {
        return false;
    }
    for (uint32_t begin = 0; begin < positions; begin += fit) {
        const uint32_t end = positions - begin < fit ? positions : begin + fit;
        struct pt_edges left = *edges;
        pack_patches(shape, input, begin, end, size);
        for (uint32_t row = 0; row < shape->out_c; row += PT_PANEL) {
            const uint32_t rest = shape->out_c - row;
            const uint32_t rows = rest < PT_PANEL ? rest : PT_PANEL;
            uint32_t step;
            const int8_t *rows_at = panel_of(&left, rows, size, &step);
            const bool more = rows_at != panel && rest >= 2u * PT_PANEL;
            const int8_t *column = tiles;
            for (uint32_t p = begin; p < end; p += PT_PANEL) {
                static _Alignas(64) int32_t sums[PT_PANEL][PT_PANEL];
                const uint32_t count = end - p < PT_PANEL ? end - p : PT_PANEL;
                const int8_t *const right[2] = {
                    column,
                    count > PT_TILE_SIDE ? column + PT_TILE_SIDE * size : NULL,
                };
                pt_tiles_multiply(rows_at, rows, step, more && p == begin ? PT_PANEL * step : 0u,
                                  right, size / PT_TILE_TERMS, sums);
                put(shape, sums, p, count, row, rows, outputs);
                column += PT_PANEL * size;
            }
        }
    }
    return true;
}

/* Error: what all channels owe to each place under each window, then to the input under it. */

enum { MOST_POSITIONS = 1 << 10, MOST_CHANNELS = 1 << 12, STRETCH = 256 };

static struct pt_overlap windows[MOST_POSITIONS];
static const int8_t *rows_of[MOST_CHANNELS];

/* Notes the rows of the channels that have an error, and packs these errors: `size` bytes for each
 * position, in `panel`. Returns how many there are. */
static uint32_t pack_errors(const struct pt_shape *shape, const int8_t *error,
                            const int8_t *weights, uint32_t length, uint32_t *size)
{
    const uint32_t channels = shape->out_c;
    const uint32_t positions = pt_shape_positions(shape);
    __mmask64 active[MOST_CHANNELS / 64];
    uint32_t count = 0;
    for (uint32_t c = 0; c < channels; c += 64u) {
        const __mmask64 here = pt_first_bytes(channels - c);
        __m512i any = _mm512_setzero_si512();
        for (uint32_t p = 0; p < positions; ++p) {
            any = _mm512_or_si512(any, _mm512_maskz_loadu_epi8(here, error + p * channels + c));
        }
        active[c / 64u] = _mm512_test_epi8_mask(any, any);
        for (uint64_t bits = active[c / 64u]; bits != 0u; bits &= bits - 1u) {
            rows_of[count++] = weights + (c + (uint32_t)__builtin_ctzll(bits)) * length;
        }
    }
    *size = round_terms(count);
    if (*size * positions > sizeof panel - 64u) {
        return count;
    }
    for (uint32_t p = 0; p < positions; ++p, error += channels) {
        int8_t *to = panel + p * *size;
        for (uint32_t c = 0; c < channels; c += 64u) {
            const __mmask64 some = active[c / 64u];
            _mm512_storeu_si512(to, _mm512_maskz_compress_epi8(
                                        some, _mm512_maskz_loadu_epi8(some, error + c)));
            to += __builtin_popcountll(some);
        }
        memset(to, 0, (size_t)(panel + (p + 1u) * *size - to));
    }
    return count;
}

/*
 * Tiles of 64 columns of up to 64 rows: four of them, `apart` bytes from one to the next. Of each
 * 16 columns the first has 0..3, the next one 4..7, and so on: that is how bytes of four rows come
 * to stand side by side.
 */
static void pack_columns(const int8_t *const *rows, uint32_t count, uint32_t at, uint32_t end,
                         uint32_t apart, int8_t *tile)
{
    for (uint32_t row = 0; row < PT_TILE_TERMS; row += 4u, tile += PT_TILE_TERMS) {
        int8_t *to = tile;
        for (uint32_t from = at; from < end; from += 64u, to += 4u * apart) {
            const __mmask64 columns = pt_first_bytes(end - from);
            __m512i r[4];
            for (uint32_t i = 0; i < 4u; ++i) {
                if (row + i < count) {
                    _mm_prefetch(rows[row + i] + from + STRETCH, _MM_HINT_T1);
                    r[i] = _mm512_maskz_loadu_epi8(columns, rows[row + i] + from);
                } else {
                    r[i] = _mm512_setzero_si512();
                }
            }
            const __m512i low = _mm512_unpacklo_epi8(r[0], r[1]);
            const __m512i high = _mm512_unpackhi_epi8(r[0], r[1]);
            const __m512i low_next = _mm512_unpacklo_epi8(r[2], r[3]);
            const __m512i high_next = _mm512_unpackhi_epi8(r[2], r[3]);
            _mm512_storeu_si512(to, _mm512_unpacklo_epi16(low, low_next));
            _mm512_storeu_si512(to + apart, _mm512_unpackhi_epi16(low, low_next));
            _mm512_storeu_si512(to + 2u * apart, _mm512_unpacklo_epi16(high, high_next));
            _mm512_storeu_si512(to + 3u * apart, _mm512_unpackhi_epi16(high, high_next));
        }
    }
}

/* 64 sums of two products, whose columns stand as pack_columns has them, in their order. */
static void in_order(const int32_t *pair, const int32_t *next, int32_t *sums)
{
    const __m512i a = _mm512_loadu_si512(pair);
    const __m512i b = _mm512_loadu_si512(pair + PT_TILE_SIDE);
    const __m512i c = _mm512_loadu_si512(next);
    const __m512i d = _mm512_loadu_si512(next + PT_TILE_SIDE);
    const __m512i ab = _mm512_shuffle_i32x4(a, b, 0x44);
    const __m512i cd = _mm512_shuffle_i32x4(c, d, 0x44);
    const __m512i ab_high = _mm512_shuffle_i32x4(a, b, 0xee);
    const __m512i cd_high = _mm512_shuffle_i32x4(c, d, 0xee);
    _mm512_storeu_si512(sums, _mm512_shuffle_i32x4(ab, cd, 0x88));
    _mm512_storeu_si512(sums + 16, _mm512_shuffle_i32x4(ab, cd, 0xdd));
    _mm512_storeu_si512(sums + 32, _mm512_shuffle_i32x4(ab_high, cd_high, 0x88));
    _mm512_storeu_si512(sums + 48, _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd));
}

/* Adds sums of the columns [at, end) of a window where they lie on the input. */
static void add_to_window(const struct pt_shape *shape, const struct pt_overlap *window,
                          uint32_t at, uint32_t end, const int32_t *sums, int32_t *input_error)
{
    const uint32_t kernel_row = (uint32_t)shape->kernel_w * shape->in_c;
    const uint32_t input_row = (uint32_t)shape->in_w * shape->in_c;
    uint32_t first = window->row_begin * kernel_row + window->kernel_start;
    int32_t *row = input_error + window->input_start;
    for (uint32_t k = window->row_begin; k < window->row_end && first < end; ++k) {
        const uint32_t last = first + window->length;
        const uint32_t from = first > at ? first : at;
        const uint32_t until = last < end ? last : end;
        for (uint32_t i = from; i < until; i += PT_VECTOR) {
            const uint32_t count = pt_vector_count(until - i);
            int32_t *to = row + (i - first);
            pt_store_words(to, pt_load_words(to, count) + pt_load_words(sums + (i - at), count),
                           count);
        }
        first += kernel_row;
        row += input_row;
    }
}

/* What the packed errors owe under all windows in the columns [at, end), which are packed too. */
static void add_columns(const struct pt_shape *shape, uint32_t size, const int8_t *columns,
                        uint32_t blocks, uint32_t at, uint32_t end, int32_t *input_error)
{
    static _Alignas(64) int32_t pair[2][PT_PANEL][PT_PANEL];
    const uint32_t positions = pt_shape_positions(shape);
    const uint32_t apart = blocks * PT_TILE_BYTES;
    for (uint32_t p = 0; p < positions; p += PT_PANEL) {
        for (uint32_t half = 0; half < 2u; ++half) {
            const int8_t *first = columns + 2u * half * apart;
            const int8_t *const right[2] = {first, first + apart};
            pt_tiles_multiply(panel + p * size, positions - p, size, 0, right, blocks,
                              pair[half]);
        }
        for (uint32_t i = 0; i < PT_PANEL && p + i < positions; ++i) {
            int32_t sums[64];
            in_order(pair[0][i], pair[1][i], sums);
            add_to_window(shape, &windows[p + i], at, end, sums, input_error);
        }
    }
}

bool pt_long_rows_error(const struct pt_shape *shape, const int8_t *error,
                        const struct pt_edges *edges, int32_t *input_error)
{
    const uint32_t length = edges->row_length;
    const uint32_t positions = pt_shape_positions(shape);
    uint32_t size;
    if (edges->scores != NULL || positions > MOST_POSITIONS ||
        shape->out_c > MOST_CHANNELS || !pt_tiles_begin()) {
        return false;
    }
    const uint32_t count = pack_errors(shape, error, edges->weights, length, &size);
    const uint32_t panels = (positions + PT_PANEL - 1u) / PT_PANEL * PT_PANEL;
    if (size * panels > sizeof panel - 64u) {
        return false;
    }
    memset(input_error, 0, pt_shape_in_size(shape) * sizeof *input_error);
    for (uint32_t p = 0; p < positions; ++p) {
        windows[p] = pt_overlap_at(shape, p / shape->out_w, p % shape->out_w);
    }
    const uint32_t blocks = size / PT_TILE_TERMS;
    for (uint32_t at = 0; at < length && count != 0u; at += STRETCH) {
        const uint32_t end = length - at < STRETCH ? length : at + STRETCH;
        for (uint32_t block = 0; block < blocks; ++block) {
            const uint32_t done = block * PT_TILE_TERMS;
            pack_columns(rows_of + done, count - done, at, end, blocks * PT_TILE_BYTES,
                         tiles + block * PT_TILE_BYTES);
        }
        const int8_t *columns = tiles;
        for (uint32_t from = at; from < end; from += 64u) {
            const uint32_t until = end - from < 64u ? end : from + 64u;
            add_columns(shape, size, columns, blocks, from, until, input_error);
            columns += 4u * blocks * PT_TILE_BYTES;
        }
    }
    return true;
}

#else

bool pt_long_rows_forward(const struct pt_shape *shape, const int8_t *input,
                          const struct pt_edges *edges, struct pt_outputs *outputs)
{
    (void)shape;
    (void)input;
    (void)edges;
    (void)outputs;
    return false;
}

bool pt_long_rows_error(const struct pt_shape *shape, const int8_t *error,
                        const struct pt_edges *edges, int32_t *input_error)
{
    (void)shape;
    (void)error;
    (void)edges;
    (void)input_error;
    return false;
}

#endif
