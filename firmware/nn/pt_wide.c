#include "nn/pt_wide.h"

uint64_t pt_wide_product(uint32_t a, uint32_t b)
{
    const uint32_t low = (a & 0xffffu) * (b & 0xffffu);
    const uint32_t one = (a >> 16) * (b & 0xffffu) + (low >> 16); /* < 2^32: 0xffff^2 + 0xffff */
    const uint32_t other = (a & 0xffffu) * (b >> 16);
    const uint64_t middle = (uint64_t)one + other;
    return ((uint64_t)((a >> 16) * (b >> 16)) << 32) + (middle << 16) + (low & 0xffffu);
}

uint64_t pt_wide_quotient(uint64_t a, uint32_t b)
{
    uint64_t quotient = 0;
    uint64_t rest = 0;
    for (uint32_t i = 0; i < 64u; ++i) {
        rest = rest << 1 | a >> 63;
        a <<= 1;
        quotient <<= 1;
        if (rest >= b) {
            rest -= b;
            quotient |= 1u;
        }
    }
    return quotient;
}

uint32_t pt_wide_root(uint64_t a)
{
    uint64_t rest = 0;
    uint32_t root = 0;
    for (uint32_t i = 0; i < 32u; ++i) { /* two bits of a for each of the root */
        const uint64_t next = (uint64_t)root << 2 | 1u;
        rest = rest << 2 | a >> 62;
        a <<= 2;
        root <<= 1;
        if (rest >= next) {
            rest -= next;
            root |= 1u;
        }
    }
    return root;
}
