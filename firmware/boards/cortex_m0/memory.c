/*
 * memcpy for boards without a C library; memset.S has its fellow.
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
