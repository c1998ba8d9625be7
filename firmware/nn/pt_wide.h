/*
 * Arithmetic of 64 bits that the processor has no instructions for, without the compiler's library:
 * small and slow, in flash, for what runs between steps.
 */
#ifndef PT_WIDE_H
#define PT_WIDE_H

#include <stdint.h>

/* a * b, all of it. */
uint64_t pt_wide_product(uint32_t a, uint32_t b);

/* a / b, rounded down; b is not 0. */
uint64_t pt_wide_quotient(uint64_t a, uint32_t b);

/* The root of a, rounded down. */
uint32_t pt_wide_root(uint64_t a);

#endif
