#include "kernels/pt_memory.h"
#include "kernels/vector/pt_quads.h"
#include "kernels/vector/pt_windows.h"

/*
 * Four rows of a kernel at a time: the elements of four rows of the input, moved up by 128, are the
 * bytes of a word, made once for all columns of the kernel. What lies outside is the zero point.
 */
enum { GROUP = 4, MOST_GROUPS = 4 };

struct depthwise {
    const struct pt_shape *shape;
    uint32_t count;   /* channels, up to a vector of them */
    uint32_t groups;  /* of rows of the kernel */
    uint32_t columns; /* of words that a row of outputs takes */
    uint32_t outside; /* a word of it */
    pt_words start;
    pt_words weights[MOST_GROUPS][15];
    int8_t zeros[PT_VECTOR];
};

/* The weights of `rows` rows of a channel's kernel, one column of them. */
static uint32_t word_of(const int8_t *weights, uint32_t kernel_w, uint32_t rows)
{
    uint32_t word = 0;
    for (uint32_t row = 0; row < rows; ++row) {
        word |= (uint32_t)(uint8_t)weights[row * kernel_w] << 8u * row;
    }
    return word;
}

static uint32_t rows_of(const struct depthwise *d, uint32_t group)
{
    const uint32_t left = d->shape->kernel_h - group * GROUP;
    return left < GROUP ? left : GROUP;
}

static void pack_weights(struct depthwise *d, struct pt_edges *edges, int8_t *masked)
{
    const uint32_t kernel_w = d->shape->kernel_w;
    if (d->count < PT_VECTOR) {
        memset(d->weights, 0, sizeof d->weights);
    }
    for (uint32_t lane = 0; lane < d->count; ++lane) {
        const int8_t *row = pt_edges_next_row(edges, masked);
        for (uint32_t group = 0; group < d->groups; ++group) {
            const uint32_t rows = rows_of(d, group);
            uint32_t *word = (uint32_t *)d->weights[group] + lane;
            for (uint32_t kx = 0; kx < kernel_w; ++kx, word += PT_VECTOR) {
                *word = rows == 3u ? word_of(row + kx, kernel_w, 3)
                                   : word_of(row + kx, kernel_w, rows);
            }
            row += rows * kernel_w;
        }
    }
    d->start = pt_words_all(0);
    for (uint32_t group = 0; group < d->groups; ++group) {
        d->start += pt_quads_total(d->weights[group], kernel_w);
    }
}

/* Words of some elements of `rows` rows, `step` bytes from one element to the next. */
static inline void join_rows(const int8_t *const row[GROUP], const uint32_t step[GROUP],
                             uint32_t rows, uint32_t count, uint32_t columns, pt_words *words)
{
    uint32_t at[GROUP] = {0};
    for (uint32_t x = 0; x < columns; ++x) {
        pt_words word = pt_words_all(PT_QUADS_MOVED);
        for (uint32_t r = 0; r < rows; ++r) {
            word ^= ((pt_words)pt_load_bytes(row[r] + at[r], count) & 0xffu) << 8u * r;
            at[r] += step[r];
        }
        words[x] = word;
    }
}

/* The words of a group of rows under the outputs of row y. */
static void make_words(const struct depthwise *d, uint32_t y, uint32_t group,
                       const int8_t *input, pt_words *words)
{
    const struct pt_shape *shape = d->shape;
    const uint32_t before = shape->padding_w;
    const uint32_t room = d->columns - before;
    const uint32_t inside = room < shape->in_w ? room : shape->in_w;
    const uint32_t rows = rows_of(d, group);
    const int8_t *row[GROUP];
    uint32_t step[GROUP];
    for (uint32_t r = 0; r < rows; ++r) {
        /* Of the padded input; a row outside is one element of the zero point. */
        const uint32_t at = y * shape->stride_h + group * GROUP + r;
        const bool within = at >= shape->padding_h && at - shape->padding_h < shape->in_h;
        row[r] = within ? input + (at - shape->padding_h) * shape->in_w * shape->in_c : d->zeros;
        step[r] = within ? shape->in_c : 0u;
    }
    for (uint32_t x = 0; x < before; ++x) {
        words[x] = pt_words_all(d->outside);
    }
    if (rows == 3u) {
        join_rows(row, step, 3, d->count, inside, words + before);
    } else {
        join_rows(row, step, rows, d->count, inside, words + before);
    }
    for (uint32_t x = before + inside; x < d->columns; ++x) {
        words[x] = pt_words_all(d->outside);
    }
}

static void forward_row(const struct depthwise *d, const struct pt_scaler *scaler,
                        int8_t *output)
{
    const struct pt_scaler local = *scaler; /* no output can be stored over it */
    const struct pt_shape *shape = d->shape;
    const pt_words *words = pt_quads_room;
    for (uint32_t x = 0; x < shape->out_w; ++x) {
        pt_words sums = d->start;
        for (uint32_t group = 0; group < d->groups; ++group) {
            const pt_words *word = words + group * d->columns;
            for (uint32_t kx = 0; kx < shape->kernel_w; ++kx) {
                sums = pt_dot4(sums, word[kx], d->weights[group][kx]);
            }
        }
        pt_store_output(output, &local, (pt_ints)sums, d->count);
        words += shape->stride_w;
        output += shape->in_c;
    }
}

void pt_affine_depthwise_s8(const struct pt_shape *shape, const struct pt_affine *affine,
                            const struct pt_edges *edges, const int8_t *input, void *scratch,
                            int8_t *output)
{
    const uint32_t moved_zero = (uint32_t)(affine->zero_in[0] + 128);
    struct pt_edges left = *edges;
    struct pt_scaler scaler;
    struct depthwise d;
    d.shape = shape;
    d.groups = (shape->kernel_h + GROUP - 1u) / GROUP;
    d.columns = (shape->out_w - 1u) * shape->stride_w + shape->kernel_w;
    d.outside = moved_zero * 0x01010101u;
    memset(d.zeros, affine->zero_in[0], sizeof d.zeros);
    for (uint32_t c = 0; c < shape->in_c; c += PT_VECTOR) {
        int8_t *out = output + c;
        d.count = pt_vector_count(shape->in_c - c);
        pack_weights(&d, &left, scratch);
        pt_scaler_of(&scaler, affine, affine->factor + c, d.count);
        d.start = (pt_words)scaler.bias - moved_zero * d.start;
        for (uint32_t y = 0; y < shape->out_h; ++y) {
            for (uint32_t group = 0; group < d.groups; ++group) {
                make_words(&d, y, group, input + c, pt_quads_room + group * d.columns);
            }
            forward_row(&d, &scaler, out);
            out += (uint32_t)shape->out_w * shape->in_c;
        }
    }
}
