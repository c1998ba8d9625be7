/*
 * Sums of several vectors, each times its factor: the vector of sums is read and written once for
 * PT_TERMS of them.
 */
#ifndef PT_TERMS_H
#define PT_TERMS_H

#include <stdint.h>

enum { PT_TERMS = 4 };

struct pt_terms {
    const int8_t *vector[PT_TERMS];
    int16_t factor[PT_TERMS];
    uint32_t count;
};

/* Two products of -127..127 fit int16, of which compilers make twice as many at a time. */
static inline int16_t pt_two_products(int16_t f, int8_t a, int16_t g, int8_t b)
{
    return (int16_t)((int16_t)(f * a) + (int16_t)(g * b));
}

/* to[i] += the sum of factor * vector[start + i] over the terms, of which there is at least one. */
static inline void pt_terms_add(const struct pt_terms *terms, uint32_t start, uint32_t length,
                                int32_t *restrict to)
{
    const int8_t *restrict a = terms->vector[0] + start;
    const int16_t f = terms->factor[0];
    if (terms->count == 1u) {
        for (uint32_t i = 0; i < length; ++i) {
            to[i] += (int16_t)(f * a[i]);
        }
        return;
    }
    const int8_t *restrict b = terms->vector[1] + start;
    const int16_t g = terms->factor[1];
    if (terms->count == 2u) {
        for (uint32_t i = 0; i < length; ++i) {
            to[i] += pt_two_products(f, a[i], g, b[i]);
        }
        return;
    }
    const int8_t *restrict c = terms->vector[2] + start;
    const int16_t h = terms->factor[2];
    if (terms->count == 3u) {
        for (uint32_t i = 0; i < length; ++i) {
            to[i] += pt_two_products(f, a[i], g, b[i]) + (int16_t)(h * c[i]);
        }
        return;
    }
    const int8_t *restrict d = terms->vector[3] + start;
    const int16_t j = terms->factor[3];
    for (uint32_t i = 0; i < length; ++i) {
        to[i] += pt_two_products(f, a[i], g, b[i]) + pt_two_products(h, c[i], j, d[i]);
    }
}

#endif
