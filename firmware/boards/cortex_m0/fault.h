/*
 * What the death of a program leaves behind, for the harness: a core that meets an instruction or
 * an address it cannot serve comes to pt_hard_fault, which saves all registers and what the program
 * was about, and calls pt_fault_end. So does an interrupt that nobody expects, and one that comes
 * before a watchdog bites. The harness tells the kinds apart
 * (harness/picotrain/device/targets/fault.py).
 */
#ifndef PT_FAULT_H
#define PT_FAULT_H

#include <stdint.h>

enum pt_fault_format { PT_FAULT_MAGIC = 0x50544654 };

/* By number: what came to pt_hard_fault. Interrupts are 16 and more. */
enum pt_fault_exception {
    PT_EXCEPTION_BITE = 0, /* none: a watchdog bit, and only what the program was about is known */
    PT_EXCEPTION_NMI = 2,
    PT_EXCEPTION_HARD_FAULT = 3,
    PT_EXCEPTION_SVC = 11,
    PT_EXCEPTION_PENDSV = 14,
    PT_EXCEPTION_SYSTICK = 15,
    PT_EXCEPTION_WATCHDOG = 17, /* of board rp2040: the alarm before its watchdog bites */
};

struct pt_fault {
    uint32_t magic;       /* PT_FAULT_MAGIC, and `check` is right: the rest holds */
    uint32_t exception;   /* enum pt_fault_exception */
    uint32_t stacked[8];  /* r0-r3, r12, lr, pc, xpsr as the exception stacked them */
    uint32_t high[8];     /* r4-r11 */
    uint32_t sp;          /* before the exception */
    uint32_t code;        /* the two halfwords at pc, the first one low; 0 where there is no code */
    uint32_t command;     /* of the mailbox (app/pt_mailbox.h), in work; 0: none */
    uint32_t operation;   /* of the plan, in work while the command trains */
    uint32_t check;       /* CRC-32 of all before */
};

/* It outlives a reset that does not take the power. */
extern struct pt_fault pt_fault_record;

/* Where the program says what it is about; NULL: it does not. Read while it runs no more. */
struct pt_fault_doing {
    const volatile uint32_t *command;
    const volatile uint32_t *operation;
};

extern const struct pt_fault_doing pt_fault_doing; /* of each program */

/* The handler of faults, and of exceptions that have none. */
void pt_hard_fault(void);

/* Makes the record that of a watchdog that bit, before start-up clears memory. From flash. */
void pt_fault_recall(void);

/* The board's answer to a fault. Does not return. */
void pt_fault_end(void);

#endif
