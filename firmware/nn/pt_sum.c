#include "nn/pt_sum.h"

#include "kernels/pt_memory.h"

uint32_t pt_sum(uint32_t sum, const void *data, uint32_t size)
{
    const uint8_t *at = data;
    uint32_t factor = PT_SUM_FACTOR;
#ifdef PT_HOST_VECTORS
    /* Hosts have time for large networks only: sums of every sixteenth word, side by side. */
    enum { APART = 16 };
    if (size >= 64u * APART) {
        uint32_t side[APART] = {0};
        uint32_t whole = 1; /* factor^APART */
        for (uint32_t i = 0; i < APART; ++i) {
            whole *= factor;
        }
        side[APART - 1u] = sum; /* what comes before the first word */
        for (; size >= 4u * APART; size -= 4u * APART, at += 4u * APART) {
            for (uint32_t i = 0; i < APART; ++i) {
                side[i] = side[i] * whole + pt_load_word(at + 4u * i);
            }
        }
        sum = 0;
        for (uint32_t i = 0; i < APART; ++i) {
            sum = sum * factor + side[i];
        }
    }
#endif
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
