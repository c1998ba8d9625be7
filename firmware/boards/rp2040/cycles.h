/*
 * Cycles of the core since the program's first instruction, without an interrupt: SysTick has 24
 * bits of the core's clock, and TIMER's microseconds say how often they wrapped. Both run from the
 * crystal, so that half a wrap (67 ms at 125 MHz) is room enough for ever.
 *
 * pt_board_cycles (app/pt_board.h) takes the same time always, so that differences are exact.
 */
#ifndef PT_CYCLES_H
#define PT_CYCLES_H

/* Ties both together; before SysTick wraps, and when clk_sys has its final frequency. */
void pt_cycles_start(void);

#endif
