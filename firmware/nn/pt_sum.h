/*
 * A sum for memory that is looked at often: sum = sum * PT_SUM_FACTOR + word, for each word of 32
 * bits as the machine has it, the last one filled up with zeros. It finds any damage within one
 * word, for the factor is odd; about a cycle a byte on a Cortex-M0+, where pt_crc32, which finds
 * more, takes twenty.
 */
#ifndef PT_SUM_H
#define PT_SUM_H

#include <stdint.h>

enum pt_sum_format { PT_SUM_FACTOR = 0x01000193 };

/* `data` is aligned to 4. Start with 0, chain by passing the last result. */
uint32_t pt_sum(uint32_t sum, const void *data, uint32_t size);

#endif
