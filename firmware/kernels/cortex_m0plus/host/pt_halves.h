/*
 * The two int16 of a word low + high * 2^16.
 */
#ifndef PT_HALVES_H
#define PT_HALVES_H

#include <stdint.h>

static inline int32_t pt_low_half(int32_t word)
{
    return (int16_t)(uint16_t)word;
}

static inline int32_t pt_high_half(int32_t word)
{
    return (word - pt_low_half(word)) / 65536;
}

#endif
