#include "kernels/pt_accumulate.h"

void pt_accumulate_s32(int32_t factor, const int8_t *vector, uint32_t length, int32_t *sums)
{
    for (uint32_t i = 0; i < length; ++i) {
        sums[i] += factor * vector[i];
    }
}
