/*
 * Products of matrices of bytes, four terms of a sum and a vector of sums at a time.
 *
 * One side are quads: vectors of words of four int8, each vector four terms of as many sums; those
 * of the same sums follow each other. The other side are bytes moved up by 128, of which a word is
 * four terms. What that adds to the sums, 128 times those of the quads, comes off their start.
 */
#ifndef PT_QUADS_H
#define PT_QUADS_H

#include <stdint.h>

#include "kernels/vector/pt_lanes.h"

enum {
    PT_QUADS_AT_ONCE = 4,      /* words that a vector of quads is multiplied with */
    PT_QUADS_TERMS = 1 << 17,  /* the most that a sum may have */
    PT_QUADS_ROOM = 1 << 21,   /* bytes of quads: a vector of sums with as many terms */
    PT_BYTES_ROOM = 1 << 20    /* bytes of the other side: 8 sums */
};

#define PT_QUADS_MOVED 0x80808080u

/* Room for both sides; nothing in it is kept from one kernel to the next. */
extern pt_words pt_quads_room[PT_QUADS_ROOM / (4 * PT_VECTOR)];
extern uint8_t pt_bytes_room[PT_BYTES_ROOM];

/* The sums of the quads themselves. */
static inline pt_words pt_quads_total(const pt_words *quads, uint32_t count)
{
    pt_words sum = {0};
    for (uint32_t q = 0; q < count; ++q) {
        sum = pt_dot4(sum, pt_words_all(0x01010101u), quads[q]);
    }
    return sum;
}

/* Four bytes, in all lanes. */
static inline pt_words pt_quads_word(const uint8_t *from)
{
    uint32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return pt_words_all(word);
}

/* sums[i] = start + those of `count` vectors of quads and the words from left[i], `step` bytes
 * from one to the next. */
static inline void pt_quads_multiply(const pt_words *quads, uint32_t count,
                                     const uint8_t *const left[PT_QUADS_AT_ONCE], uint32_t step,
                                     pt_words start, pt_words sums[PT_QUADS_AT_ONCE])
{
    const uint8_t *l0 = left[0];
    const uint8_t *l1 = left[1];
    const uint8_t *l2 = left[2];
    const uint8_t *l3 = left[3];
    pt_words s0 = start;
    pt_words s1 = start;
    pt_words s2 = start;
    pt_words s3 = start;
    for (uint32_t q = 0, at = 0; q < count; ++q, at += step) {
        const pt_words right = quads[q];
        s0 = pt_dot4(s0, pt_quads_word(l0 + at), right);
        s1 = pt_dot4(s1, pt_quads_word(l1 + at), right);
        s2 = pt_dot4(s2, pt_quads_word(l2 + at), right);
        s3 = pt_dot4(s3, pt_quads_word(l3 + at), right);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* Bytes for the other side. */
static inline void pt_quads_move_up(const int8_t *from, uint32_t count, uint8_t *to)
{
#ifdef PT_AVX512
    for (uint32_t i = 0; i < count; i += 64u) {
        const __mmask64 some = pt_first_bytes(count - i);
        _mm512_mask_storeu_epi8(to + i, some,
                                _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, from + i),
                                                 _mm512_set1_epi8((char)0x80)));
    }
#else
    for (uint32_t i = 0; i < count; ++i) {
        to[i] = (uint8_t)from[i] ^ 0x80u;
    }
#endif
}

/* The i-th of `count` rows, or the last. */
static inline const uint8_t *pt_quads_left(const uint8_t *first, uint32_t size, uint32_t i,
                                           uint32_t count)
{
    return first + (i < count ? i : count - 1u) * size;
}

/* Quads of sums side by side: four rows of `count` int8, of which each is a term. NULL: zeros. */
static inline pt_words pt_quads_beside(const int8_t *const row[4], uint32_t at, uint32_t count)
{
    pt_words quads = {0};
    for (uint32_t term = 0; term < 4u; ++term) {
        if (row[term] != 0) {
            const pt_words bytes = (pt_words)pt_load_bytes(row[term] + at, count);
            quads |= (bytes & 0xffu) << 8u * term;
        }
    }
    return quads;
}

/* The next `count` rows of edges, a vector of them or less, become quads; returns their total.
 * `masked` as for pt_edges_next_row. */
pt_words pt_quads_pack_rows(struct pt_edges *edges, uint32_t count, int8_t *masked);

/*
 * The patches of the positions [begin, end) of a convolution, moved up by 128: `size` bytes each,
 * which are whole words. What lies outside is the zero point.
 */
void pt_quads_gather(const struct pt_shape *shape, const int8_t *input, int32_t zero,
                     uint32_t begin, uint32_t end, uint32_t size);

/* Affine, forward: rows of weights, `length` each, times patches, in int8. */
struct pt_quads_rows {
    const struct pt_affine *affine;
    uint32_t length;
    uint32_t row; /* the first of them */
    uint32_t count;
    struct pt_scaler scaler;
    pt_words start;
};

void pt_quads_next_rows(struct pt_quads_rows *rows, struct pt_edges *edges, int8_t *masked);

/* The outputs of these rows at some positions, `step` bytes from one to the next. */
void pt_quads_forward(const struct pt_quads_rows *rows, const uint8_t *patch, uint32_t size,
                      uint32_t positions, int8_t *output, uint32_t step);

#endif
