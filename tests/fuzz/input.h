/*
 * What the fuzz targets share: taking an input apart, and the rules that they hold.
 *
 * A target is LLVMFuzzerTestOneInput: of libFuzzer, or of replay.c, which runs files. An input that
 * ends early goes on with zeros, so that every string of bytes is one.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

uint8_t fuzz_u8(struct fuzz_input *input);
uint16_t fuzz_u16(struct fuzz_input *input);
uint32_t fuzz_u32(struct fuzz_input *input);

/* The next bytes, `*size` of them or as many as there are. */
const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t *size);

/* Ends the process, as a report of a sanitizer does, where a rule does not hold. */
void fuzz_require(bool holds, const char *rule);

/* malloc that does not fail. */
void *fuzz_memory(size_t size);

/* Bytes that look drawn, and are the same for the same seed. */
void fuzz_fill(uint8_t *to, size_t size, uint32_t seed);

#endif
