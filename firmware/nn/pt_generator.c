#include "nn/pt_generator.h"

#include "kernels/pt_numerics.h"

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

uint32_t pt_generator_key(uint32_t seed, uint32_t layer, enum pt_stream stream)
{
    return mix(mix(seed) + 4u * layer + (uint32_t)stream);
}

uint32_t pt_generator_word(uint32_t key, uint32_t index)
{
    return mix(key + index * 0x9E3779B9u);
}

int8_t pt_generator_normal_s8(uint32_t key, uint32_t index)
{
    int32_t sum = -1530; /* twelve bytes have the mean 12 * 127.5 */
    for (uint32_t i = 0; i < 3u; ++i) {
        for (uint32_t word = pt_generator_word(key, 3u * index + i); word != 0u; word >>= 8) {
            sum += (int32_t)(word & 0xffu);
        }
    }
    return pt_clamp_s8(pt_rhu_s32(sum, 3));
}
