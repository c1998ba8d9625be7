#include "input.h"

#include <stdio.h>
#include <stdlib.h>

uint8_t fuzz_u8(struct fuzz_input *input)
{
    if (input->left == 0u) {
        return 0;
    }
    --input->left;
    return *input->at++;
}

uint16_t fuzz_u16(struct fuzz_input *input)
{
    const uint16_t low = fuzz_u8(input);
    return (uint16_t)(low | fuzz_u8(input) << 8);
}

uint32_t fuzz_u32(struct fuzz_input *input)
{
    const uint32_t low = fuzz_u16(input);
    return low | (uint32_t)fuzz_u16(input) << 16;
}

const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t *size)
{
    const uint8_t *at = input->at;
    *size = *size < input->left ? *size : input->left;
    input->at += *size;
    input->left -= *size;
    return at;
}

void fuzz_require(bool holds, const char *rule)
{
    if (!holds) {
        (void)fprintf(stderr, "fuzz: this does not hold: %s\n", rule);
        abort();
    }
}

void *fuzz_memory(size_t size)
{
    void *memory = malloc(size);
    fuzz_require(memory != NULL, "there is memory");
    return memory;
}

void fuzz_fill(uint8_t *to, size_t size, uint32_t seed)
{
    uint32_t word = seed * 2u + 1u;
    for (size_t i = 0; i < size; ++i) {
        word = word * 1664525u + 1013904223u;
        to[i] = (uint8_t)(word >> 24);
    }
}
