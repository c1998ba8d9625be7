/*
 * What the application asks of a board. One implementation per folder of boards/.
 */
#ifndef PT_BOARD_H
#define PT_BOARD_H

#include <stdint.h>

/* The board's memory, in bytes; 0 where a board cannot tell (a host process has no fixed stack). */
struct pt_board_memory {
    uint8_t *arena; /* aligned to 8 */
    uint32_t arena_size;
    uint32_t code_size;   /* instructions, constants and initialised data, resident in SRAM */
    uint32_t static_size; /* zero-initialised data: mailbox and application */
    uint32_t stack_size;  /* reserved */
    uint8_t *flash;       /* for a model that stays there; aligned to 8; only read */
    uint32_t flash_size;
    const void *fault; /* what the last fault left (struct pt_fault); NULL: this board keeps none */
    uint32_t fault_size;
};

/* Returns when a command may stand in the mailbox. */
void pt_board_idle(void);

/* Deepest use of the stack since reset, from its paint. */
uint32_t pt_board_stack_used(void);

/* Code and constants, and the CRC-32s of them that were built into the image. */
struct pt_board_code {
    const void *flash; /* what runs and is read in flash */
    const void *sram;  /* what start-up copies to SRAM, there */
    uint32_t flash_size;
    uint32_t sram_size;
    uint32_t flash_crc32;
    uint32_t sram_crc32;
};

/* Sizes of 0 where a board cannot tell. */
struct pt_board_code pt_board_code(void);

/* The program makes progress: called at least once an image. Puts off the watchdog, if any. */
void pt_board_alive(void);

/* Clock cycles since some moment after reset; always 0 where a board cannot tell. */
uint64_t pt_board_cycles(void);

/*
 * Asked only of boards with a serial link (app/pt_link.h). A port is one way to the host: 0 the
 * UART, 1 USB.
 */
enum { PT_PORTS = 2 };

/* Takes up to `room` bytes that have arrived; returns how many, 0 at once if there are none. */
uint32_t pt_board_receive(uint32_t port, uint8_t *to, uint32_t room);

/* Sends all bytes, or drops the rest when nobody takes them within a bounded time. */
void pt_board_send(uint32_t port, const uint8_t *from, uint32_t size);

enum pt_restart {
    PT_RESTART_PROGRAM = 0, /* the same program again, from reset */
    PT_RESTART_BOOTSEL = 1, /* the boot ROM's USB drive */
};

/* What was sent before still arrives. Does not return. */
void pt_board_restart(enum pt_restart how);

/*
 * Writes flash of the model window: `offset` from its start and `size` are multiples of 256, within
 * one sector of 4096. The sector is erased when `offset` is its start, so that ascending writes
 * fill it. Returns 0, or -1 when the flash does not read back what was written.
 */
int pt_board_flash_write(uint32_t offset, const uint8_t *from, uint32_t size);

#endif
