#include "boards/cortex_m0/fault.h"

#include <stdbool.h>

#define SRAM 0x20000000u /* where it begins on every board of this core */

struct pt_fault pt_fault_record;

/* r0: the stacked frame, r1: r4-r7 and r8-r11. */
__attribute__((used, noreturn)) static void save_fault(const uint32_t *frame,
                                                       const uint32_t *high)
{
    struct pt_fault *fault = &pt_fault_record;
    const bool held = (uintptr_t)frame >= SRAM; /* else the exception had nowhere to write it */
    for (uint32_t i = 0; i < 8u; ++i) {
        fault->stacked[i] = held ? frame[i] : 0u;
        fault->high[i] = high[i];
    }
    fault->sp = (uint32_t)(uintptr_t)(frame + 8);
    fault->magic = PT_FAULT_MAGIC;
    pt_fault_end();
    for (;;) {
    }
}

/*
 * All code uses the main stack. The stacked alignment word is not looked for: sp may be 4 low.
 * Where the stack is at the start of SRAM and has no room left for this, it starts anew.
 */
__attribute__((naked)) void pt_hard_fault(void)
{
    __asm__("mov r0, sp\n\t"
            "ldr r1, =0x20000080\n\t"
            "cmp r0, r1\n\t"
            "bhs 1f\n\t"
            "ldr r1, =pt_stack_end\n\t"
            "mov sp, r1\n"
            "1:\n\t"
            "mov r2, r10\n\t"
            "mov r3, r11\n\t"
            "push {r2, r3}\n\t"
            "mov r2, r8\n\t"
            "mov r3, r9\n\t"
            "push {r2, r3}\n\t"
            "push {r4, r5, r6, r7}\n\t"
            "mov r1, sp\n\t"
            "ldr r2, =save_fault\n\t"
            "bx r2\n\t"
            ".ltorg");
}
