/*
 * Functions of the boot ROM (RP2040 datasheet 2.8.3), by their codes of two letters.
 */
#ifndef PT_ROM_H
#define PT_ROM_H

#include <stdint.h>

/* The function's address, or 0 if this ROM has none. */
uintptr_t pt_rom_function(char first, char second);

#endif
