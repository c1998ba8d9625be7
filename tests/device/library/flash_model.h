/*
 * NOR flash as power cuts and wear leave it. Every erase and every program is a step; a cut at a
 * step leaves one of the torn states below and jumps to `power`, out of whatever was under way.
 *
 * A bit is 0, 1 or unstable: each read of an unstable bit says what `reading` makes it say, until
 * the bit is programmed or erased to the end.
 */
#ifndef FLASH_MODEL_H
#define FLASH_MODEL_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "nn/pt_store.h"

enum { FLASH_BYTES = 1 << 17, FLASH_SECTORS = 32, NO_CUT = 0x7fffffff };

/* What a cut leaves of a page that was being programmed... */
enum torn_program {
    PROGRAM_NOT_BEGUN,
    PROGRAM_DONE,
    PROGRAM_SOME,             /* of its bits, any */
    PROGRAM_SOME_REST_LOOSE,  /* loose: unstable */
    PROGRAM_SOME_LOOSE,
    PROGRAM_ALL_LOOSE,
    PROGRAM_FIRST_BYTES,
    PROGRAM_FEW_LOOSE,        /* one to three, the rest not begun */
    PROGRAM_DONE_BUT_FEW,     /* which are loose */
    TORN_PROGRAMS
};

/* ... and of a sector that was being erased. Chips program all bits to 0 before they erase. */
enum torn_erase {
    ERASE_NOT_BEGUN,
    ERASE_DONE,
    ERASE_SOME,
    ERASE_SOME_REST_LOOSE,
    ERASE_SOME_LOOSE,
    ERASE_ALL_LOOSE,
    ERASE_FEW_LOOSE,
    ERASE_DONE_BUT_FEW,
    ERASE_FIRST_PAGES,
    ERASE_LAST_PAGES,
    ERASE_ANY_PAGES,
    ERASE_SOME_ZEROED,
    ERASE_SOME_ZEROED_LOOSE,
    ERASE_ALL_ZEROED,
    TORN_ERASES
};

enum reading { READS_RANDOM, READS_0, READS_1, READINGS };

/* Of a sector; the last two program page 0 or 1 alone badly. */
enum wear { GOOD, ERASES_BADLY, PROGRAMS_BADLY, REFUSES, PAGE_0_BADLY, PAGE_1_BADLY, WEARS };

struct flash_model {
    struct pt_flash flash; /* what the store gets; its context is this struct */
    uint8_t value[FLASH_BYTES];
    uint8_t loose[FLASH_BYTES];
    bool any_loose;
    enum reading reading;
    enum wear wear[FLASH_SECTORS];
    uint32_t erases[FLASH_SECTORS];
    uint32_t random;
    uint32_t steps;     /* since power_on */
    uint32_t cut;       /* at this step, 0 the first; NO_CUT */
    uint32_t torn;      /* taken modulo the number of torn states of the step's kind */
    bool cut_an_erase;  /* what the cut hit */
    jmp_buf power;
};

/* Blank and good. */
void flash_make(struct flash_model *model, uint32_t sector, uint32_t page, uint32_t sectors,
                uint32_t seed);

/* Counts steps anew; the next cut, and how loose bits read from now on. */
void flash_power(struct flash_model *model, uint32_t cut, uint32_t torn, enum reading reading);

/* All but where the jump goes. */
void flash_copy(struct flash_model *to, const struct flash_model *from);

#endif
