/*
 * Adds a multiple of one vector to another: what errors and gradients are sums of.
 */
#ifndef PT_ACCUMULATE_H
#define PT_ACCUMULATE_H

#include <stdint.h>

/* sums[i] += factor * vector[i]; |factor| <= 127. Buffers must not overlap. */
void pt_accumulate_s32(int32_t factor, const int8_t *vector, uint32_t length, int32_t *sums);

#endif
