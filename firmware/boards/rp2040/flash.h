/*
 * The flash chip beyond reading: its number, and pt_board_flash_write (app/pt_board.h).
 *
 * Both take the flash from the SSI's reach for a moment: they run from SRAM with interrupts off,
 * through the boot ROM's functions (RP2040 datasheet 2.8.3.1.3), and bring continuous reading back
 * with a copy of the second stage. The ROM waits for the flash without a bound; the watchdog is it.
 */
#ifndef PT_FLASH_H
#define PT_FLASH_H

#include <stdint.h>

enum { PT_FLASH_SECTOR = 4096, PT_FLASH_PAGE = 256 };

/* The chip's unique number (command 0x4b); zeros if it gives none or the ROM has no functions. */
void pt_flash_number(uint8_t number[8]);

#endif
