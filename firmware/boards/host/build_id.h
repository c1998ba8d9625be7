/*
 * The build id of this program, which its linker derived from what it holds.
 */
#ifndef PT_BOARDS_HOST_BUILD_ID_H
#define PT_BOARDS_HOST_BUILD_ID_H

#include <stddef.h>
#include <stdint.h>

/* Stores the first `size` bytes of the id; leaves `to` as it is where the program has none. */
void pt_build_id(uint8_t *to, size_t size);

#endif
