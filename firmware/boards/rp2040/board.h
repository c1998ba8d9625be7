/*
 * What any program on this board begins with, whatever it is about. A program is a pt_board_run
 * (boards/cortex_m0/start.h): main.c has that of the harness, examples/standalone another.
 *
 *   pt_board_start   first of all: watchdog, vectors, stack, UART and USB
 *   pt_board.h       (app/) has what goes on from there: receive, send, alive, cycles, restart
 *
 * A fault leaves its record (boards/cortex_m0/fault.h) and resets the chip.
 */
#ifndef PT_RP2040_BOARD_H
#define PT_RP2040_BOARD_H

#include "app/pt_board.h"
#include "boards/cortex_m0/start.h"
#include "boards/rp2040/watchdog.h"

enum { PT_PORT_UART = 0, PT_PORT_USB = 1 };

/* From flash; app/pt_board.h has the same for what runs in SRAM. */
PT_FAR void pt_board_idle(void);

/*
 * Why the chip was reset, and the flash's number. Once, before anything else; interrupts come from
 * here on.
 */
enum pt_reset_reason pt_board_start(uint8_t chip[8]);

#endif
