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
};

/* Returns when a command may stand in the mailbox. */
void pt_board_idle(void);

/* Deepest use of the stack since reset, from its paint. */
uint32_t pt_board_stack_used(void);

#endif
