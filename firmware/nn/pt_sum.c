#include "nn/pt_sum.h"

#include "kernels/pt_memory.h"

uint32_t pt_sum(uint32_t sum, const void *data, uint32_t size)
{
    const uint8_t *at = data;
    uint32_t factor = PT_SUM_FACTOR;
    __asm__("" : "+r"(factor)); /* or the compiler makes eleven instructions of a multiplication */
    for (; size >= 32u; size -= 32u) {
        sum = sum * factor + pt_load_word(at);
        sum = sum * factor + pt_load_word(at + 4);
        sum = sum * factor + pt_load_word(at + 8);
        sum = sum * factor + pt_load_word(at + 12);
        sum = sum * factor + pt_load_word(at + 16);
        sum = sum * factor + pt_load_word(at + 20);
        sum = sum * factor + pt_load_word(at + 24);
        sum = sum * factor + pt_load_word(at + 28);
        at += 32;
    }
    for (; size >= 4u; size -= 4u) {
        sum = sum * factor + pt_load_word(at);
        at += 4;
    }
    if (size != 0u) {
        /* By hand, or a guard would run code outside of its own (pt_guard.h). */
        _Alignas(4) uint8_t last[4] = {at[0], 0, 0, 0};
        if (size > 1u) {
            last[1] = at[1];
        }
        if (size > 2u) {
            last[2] = at[2];
        }
        sum = sum * factor + pt_load_word(last);
    }
    return sum;
}
