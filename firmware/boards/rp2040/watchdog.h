/*
 * Watchdog (RP2040 datasheet 4.7) and the reason of the last reset.
 *
 * The counter has 24 bits and counts down twice a microsecond (erratum RP2040-E1): it bites 8.3 s
 * after it was last fed, and resets all but the oscillators; SRAM keeps what it holds. It stands
 * still while a debugger has stopped a core.
 *
 * What the program was about stays in scratch register 2, and in 3 what clk_sys came from when it
 * started (clocks.c): the boot ROM uses 0, 1 and 4 to 7.
 */
#ifndef PT_WATCHDOG_H
#define PT_WATCHDOG_H

#include "app/pt_link.h"

/* Tells why the chip was reset, then arms the watchdog. Call it once, first. */
enum pt_reset_reason pt_watchdog_start(void);

void pt_watchdog_feed(void);

/*
 * From here on a bite has a record (boards/cortex_m0/fault.h) of where the program was: 50 ms
 * before it, an alarm of TIMER comes to pt_hard_fault. While the watchdog is fed, the alarm comes
 * every 8 s, and takes some 60 cycles. Of a program that keeps interrupts off there is no pc.
 */
void pt_watchdog_warn(void);

/* The alarm's handler. */
void pt_watchdog_interrupt(void);

/* What pt_watchdog_start will tell, should another than this program reset the chip. */
void pt_watchdog_mark(enum pt_reset_reason reason);

/* Resets the chip at once. Safe in a fault: needs no flash and little stack. */
_Noreturn void pt_watchdog_reset(enum pt_reset_reason reason);

#endif
