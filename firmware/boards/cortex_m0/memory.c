/*
 * memcpy and memset for boards without a C library.
 */
#include "kernels/pt_memory.h"

#include <stdint.h>

static int aligned(uintptr_t address)
{
    return (address & 3u) == 0u;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if (aligned((uintptr_t)to | (uintptr_t)from)) {
        uint32_t *out_word = to;
        const uint32_t *in_word = from;
        for (; size >= 4u; size -= 4u) {
            *out_word++ = *in_word++;
        }
        out = (uint8_t *)out_word;
        in = (const uint8_t *)in_word;
    }
    for (; size != 0u; --size) {
        *out++ = *in++;
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    uint8_t *out = to;
    const uint32_t byte = (uint8_t)value;
    if (aligned((uintptr_t)to)) {
        uint32_t *out_word = to;
        for (; size >= 4u; size -= 4u) {
            *out_word++ = byte * 0x01010101u;
        }
        out = (uint8_t *)out_word;
    }
    for (; size != 0u; --size) {
        *out++ = (uint8_t)byte;
    }
    return to;
}
