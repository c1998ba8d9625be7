/*
 * What a fault leaves behind, for the harness: a core that meets an instruction or an address it
 * cannot serve comes to pt_hard_fault, which saves all registers and calls pt_fault_end.
 */
#ifndef PT_FAULT_H
#define PT_FAULT_H

#include <stdint.h>

enum pt_fault_format { PT_FAULT_MAGIC = 0x50544654 };

struct pt_fault {
    uint32_t magic;      /* PT_FAULT_MAGIC: the rest holds */
    uint32_t stacked[8]; /* r0-r3, r12, lr, pc, xpsr as the exception stacked them */
    uint32_t high[8];    /* r4-r11 */
    uint32_t sp;         /* before the exception */
};

extern struct pt_fault pt_fault_record;

/* The handler of faults, and of exceptions that have none. */
void pt_hard_fault(void);

/* The board's answer to a fault. Does not return. */
void pt_fault_end(void);

#endif
