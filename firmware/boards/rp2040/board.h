/*
 * What any program on this board begins with, whatever it is about. A program is a pt_board_run
 * (boards/cortex_m0/start.h): main.c has that of the harness, examples/standalone another.
 *
 *   pt_board_start   first of all: watchdog, vectors, stack, UART and USB
 *   pt_board_nap     until something comes
 *   pt_board.h       (app/) has what goes on from there: receive, send, alive, cycles, restart
 *
 * A fault leaves its record (boards/cortex_m0/fault.h) and resets the chip.
 */
#ifndef PT_RP2040_BOARD_H
#define PT_RP2040_BOARD_H

#include "app/pt_board.h"
#include "boards/cortex_m0/start.h"

enum { PT_PORT_UART = 0, PT_PORT_USB = 1 };

/* From flash; app/pt_board.h has the same for what runs in SRAM. */
PT_FAR void pt_board_idle(void);

/*
 * Why the chip was reset (enum pt_reset_reason of app/pt_link.h), and the flash's number. Once,
 * before anything else; interrupts come from here on.
 */
uint32_t pt_board_start(uint8_t chip[8]);

/*
 * Sleeps until an interrupt, or for 10 ms. Called with interrupts off since before the caller
 * looked for work, so that none is slept over; they are on afterwards.
 */
void pt_board_nap(void);

/* Microseconds, which wrap after 71 minutes. */
uint32_t pt_board_micros(void);

#endif
