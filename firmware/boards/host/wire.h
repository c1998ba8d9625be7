/*
 * The wire of board "host" when it serves the serial link: a TCP port of this machine, or standard
 * input and output.
 *
 * TCP: one client at a time; when it leaves, the next one is taken. The process plays the chip's
 * reset too: a restart, a trap or WATCHDOG_SECONDS without pt_board_alive starts the program again
 * with fresh memory, over the same connection as a UART would. Flash keeps what it holds.
 *
 * Standard input and output ("-"), for tests that must not wait: the harness writes a 32-bit size
 * and as many bytes; the device takes them all, then answers with pieces of the same form, the last
 * of size 0. So it is known when nothing more comes. A restart ends the process.
 */
#ifndef PT_BOARDS_HOST_WIRE_H
#define PT_BOARDS_HOST_WIRE_H

#include <stdbool.h>
#include <stdint.h>

/* `--link PORT ARENA-BYTES FLASH-BYTES`, with what a restart adds to it. */
enum { PT_WIRE_ARGUMENTS = 5, PT_WIRE_RESTARTED = 9 };

/*
 * Opens the wire. Prints the TCP port at the first start. Returns the flash, of `flash_size` bytes,
 * or NULL with errno set. Stores why the program starts (enum pt_reset_reason).
 */
uint8_t *pt_wire_open(int argc, char **argv, uint32_t flash_size, uint32_t *reset);

/* Whether this process has a wire. */
bool pt_wire_is_open(void);

/* Sends what is to be sent; returns when bytes have arrived, and now and then without. */
void pt_wire_wait(void);

/* Puts off the watchdog. */
void pt_wire_alive(void);

#endif
