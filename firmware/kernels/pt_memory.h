/*
 * The two C library functions that a freestanding compiler expects anyway; without a libc
 * (Debian's arm-none-eabi has none by default) boards/cortex_m0 provides them.
 */
#ifndef PT_MEMORY_H
#define PT_MEMORY_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int value, size_t size);

#endif
