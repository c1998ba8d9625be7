#include "kernels/pt_accumulate.h"

#include "kernels/cortex_m0plus/pt_byte_order.h"
#include "kernels/pt_memory.h"

/* Four elements for each load: 9 cycles an element instead of 12. */
void pt_accumulate_s32(int32_t factor, const int8_t *vector, uint32_t length, int32_t *sums)
{
    const int8_t *end = vector + length;
    if ((uintptr_t)vector % 4u == 0u) {
        for (; end - vector >= 4; vector += 4, sums += 4) {
            const int32_t word = (int32_t)pt_load_word(vector);
            sums[0] += factor * (int8_t)word;
            sums[1] += factor * (int8_t)(word >> 8);
            sums[2] += factor * (int8_t)(word >> 16);
            sums[3] += factor * (word >> 24);
        }
    }
    while (vector != end) {
        *sums++ += factor * *vector++;
    }
}
