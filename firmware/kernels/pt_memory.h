/*
 * The two C library functions that a freestanding compiler expects anyway; without a libc
 * (Debian's arm-none-eabi has none by default) boards/cortex_m0 provides them.
 */
#ifndef PT_MEMORY_H
#define PT_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int value, size_t size);

/* Four elements at once, at an address that is a multiple of 4. */
static inline uint32_t pt_load_word(const void *from)
{
    uint32_t word;
    __builtin_memcpy(&word, __builtin_assume_aligned(from, 4), sizeof word);
    return word;
}

static inline void pt_store_word(void *to, uint32_t word)
{
    __builtin_memcpy(__builtin_assume_aligned(to, 4), &word, sizeof word);
}

#endif
