/*
 * Clocks and resets (RP2040 datasheet 2.14 to 2.18), from the crystal of 12 MHz:
 *
 *   clk_ref   12 MHz, and the tick of 1 us for watchdog and timer
 *   clk_sys   PT_CLOCK_MHZ by PLL_SYS: 125 or 200, above 133 at a core voltage of 1.15 V
 *   clk_peri  clk_sys: the UART
 *   clk_usb   48 MHz by PLL_USB
 *
 * Out of reset are afterwards: pins and pads, both PLLs, SYSINFO, TIMER, UART0 and, with clk_usb,
 * USBCTRL. Core 1 waits in the boot ROM.
 *
 * Every wait is bounded, by about 0.2 s at the ring oscillator's speed. If a block does not leave
 * its reset, or the crystal, PLL_SYS or a switch of clk_ref or clk_sys does not come, the program
 * ends in pt_board_halt with an enum pt_halt in pt_halt_reason: without a known clock there is no
 * link that could tell. If PLL_USB or USBCTRL does not come, it goes on without USB.
 */
#ifndef PT_CLOCKS_H
#define PT_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

/* Runs from flash before SRAM has code or data. */
void pt_clocks_start(void);

/* clk_usb runs and USBCTRL is out of reset. */
bool pt_clocks_usb(void);

#endif
