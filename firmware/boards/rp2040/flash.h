/*
 * The flash chip beyond reading: its number, sectors and pages, and pt_board_flash_write
 * (app/pt_board.h).
 *
 * All of it takes the flash from the SSI's reach for a moment: it runs from SRAM with interrupts
 * off, through the boot ROM's functions (RP2040 datasheet 2.8.3.1.3), and brings continuous reading
 * back with a copy of the second stage. The ROM waits for the flash without a bound; the watchdog
 * is it, and is fed before.
 *
 * A page takes some 0.4 ms (3 ms at most), a sector 45 ms (400 ms at most, W25Q16JV). For so long
 * USB answers NAK by itself: data and requests of the host wait, and none is lost. But the UART's
 * FIFO holds 32 bytes: what more arrives is lost, so that a host there waits for its answer.
 */
#ifndef PT_FLASH_H
#define PT_FLASH_H

#include <stdint.h>

enum { PT_FLASH_SECTOR = 4096, PT_FLASH_PAGE = 256 };

/* The chip's unique number (command 0x4b); zeros if it gives none or the ROM has no functions. */
void pt_flash_number(uint8_t number[8]);

/* Where `sector` is in memory, aligned to its size. -1 where it does not read as blank then. */
int pt_flash_erase(const uint8_t *sector);

/*
 * Makes ones to zeros where `from`, which is not in flash, has zeros: `size` bytes, whole pages of
 * one sector. -1 where a bit of these does not read as 0 then.
 */
int pt_flash_program(const uint8_t *page, const uint8_t *from, uint32_t size);

#endif
