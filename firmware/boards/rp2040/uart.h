/*
 * UART0 on GP0 (out) and GP1 (in): PT_UART_BAUD, 8 data bits, no parity, 1 stop bit (RP2040
 * datasheet 4.2). The interrupt puts what arrives into a ring with room for a whole frame, so that
 * the host may send a request while a command runs. What does not fit is dropped: the link finds
 * its way back by itself.
 */
#ifndef PT_UART_H
#define PT_UART_H

#include <stdint.h>

/* After pt_clocks_start. */
void pt_uart_start(void);

/* The handler of UART0's interrupt. */
void pt_uart_interrupt(void);

/* Up to `room` bytes -> how many; 0 at once if there are none. */
uint32_t pt_uart_receive(uint8_t *to, uint32_t room);

/* Sends all; drops the rest if the UART takes nothing for about 10 ms. */
void pt_uart_send(const uint8_t *from, uint32_t size);

/* Returns when the last bit has left, or after about 10 ms. */
void pt_uart_flush(void);

#endif
