/*
 * The end of a program that cannot go on and has no link to say so.
 */
#ifndef PT_HALT_H
#define PT_HALT_H

#include <stdint.h>

enum pt_halt {
    PT_HALT_NONE = 0,
    PT_HALT_RESETS = 1,  /* a peripheral does not leave its reset */
    PT_HALT_XOSC = 2,    /* the crystal does not oscillate */
    PT_HALT_PLL_SYS = 3, /* PLL_SYS does not lock */
    PT_HALT_CLK_REF = 4, /* clk_ref does not switch */
    PT_HALT_CLK_SYS = 5, /* clk_sys does not switch */
    PT_HALT_IMAGE = 6,   /* code or constants are not those that were built */
};

/* For a debugger or an emulator. Start-up does not clear it. */
extern volatile uint32_t pt_halt_reason;

/* Writes the reason and ends in pt_board_halt. Runs from flash. */
_Noreturn void pt_halt(enum pt_halt reason);

/* Loops for ever, at an address that emulators know. Runs from flash. */
_Noreturn void pt_board_halt(void);

#endif
