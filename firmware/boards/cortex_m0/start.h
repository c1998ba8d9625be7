/*
 * Start-up that all Cortex-M0 boards share, and the symbols of their linker scripts.
 */
#ifndef PT_START_H
#define PT_START_H

#include <stdint.h>

/* Calls between flash and SRAM: a BL does not reach. */
#define PT_FAR __attribute__((long_call))

extern uint32_t pt_code_load[], pt_code_start[], pt_code_end[];
extern uint32_t pt_bss_start[], pt_bss_end[];
extern uint32_t pt_stack_start[], pt_stack_end[];
extern uint32_t pt_sram_start[], pt_sram_end[];
extern uint32_t pt_flash_first[], pt_flash_last[]; /* that a program may lie in */

/*
 * Copies code and data to SRAM, clears .bss, paints the stack for pt_board_stack_used
 * (app/pt_board.h) and goes on in pt_board_run, or in pt_image_damaged. Lies in flash (.startup).
 */
_Noreturn void pt_reset(void);

/* The image's own CRC-32s are not those of its code and constants: nothing of it may run. */
_Noreturn void pt_image_damaged(void);

/* The board's program. */
PT_FAR _Noreturn void pt_board_run(void);

#endif
