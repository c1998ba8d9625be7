/*
 * The counter-based generator of docs/numerics.md, section 7. No state: any element alone.
 */
#ifndef PT_GENERATOR_H
#define PT_GENERATOR_H

#include <stdint.h>

enum pt_stream { PT_STREAM_SCORES = 0, PT_STREAM_SELECTION = 1 };

/* Key of one layer's stream. */
uint32_t pt_generator_key(uint32_t seed, uint32_t layer, enum pt_stream stream);

uint32_t pt_generator_word(uint32_t key, uint32_t index);

/* Element `index` of normal int8 noise with standard deviation 32. */
int8_t pt_generator_normal_s8(uint32_t key, uint32_t index);

#endif
