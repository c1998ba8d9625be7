/*
 * A link's wire made from a program of bytes: frames of every kind, good and bad ones with a good
 * CRC, frames sent again, damaged and cut, and whatever bytes the program has.
 */
#ifndef FUZZ_WIRE_H
#define FUZZ_WIRE_H

#include "input.h"
#include "reference_link.h"

enum { WIRE_SIZE = 1 << 13 };

struct wire {
    size_t size;
    uint8_t bytes[WIRE_SIZE];
};

/* Addresses are taken from the reference's regions: a region and an offset into or behind it. */
void wire_make(struct wire *wire, struct fuzz_input *program, const struct reference *reference);

#endif
