#include "boards/cortex_m0/fault.h"

#include <stdbool.h>
#include <stddef.h>

#include "boards/cortex_m0/start.h"

enum { WORDS = offsetof(struct pt_fault, check) / 4, CRC_POLYNOMIAL = 0xedb88320 };

struct pt_fault pt_fault_record;

static bool within(uint32_t address, const uint32_t *start, const uint32_t *end)
{
    return address >= (uintptr_t)start && address < (uintptr_t)end - 2u;
}

/* Not the library's: nothing but this file may be needed. Inlined, so that each has its own. */
static inline __attribute__((always_inline)) void seal(struct pt_fault *fault)
{
    const volatile uint32_t *word = &fault->magic;
    fault->magic = PT_FAULT_MAGIC;
    fault->command = pt_fault_doing.command != NULL ? *pt_fault_doing.command : 0u;
    fault->operation = pt_fault_doing.operation != NULL ? *pt_fault_doing.operation : 0u;
    uint32_t crc = 0xffffffffu;
    for (uint32_t i = 0; i < WORDS; ++i) {
        crc ^= word[i];
        for (uint32_t bit = 0; bit < 32u; ++bit) {
            crc = crc >> 1 ^ ((crc & 1u) != 0u ? (uint32_t)CRC_POLYNOMIAL : 0u);
        }
    }
    fault->check = ~crc;
}

/* r0: the stacked frame, r1: r4-r7 and r8-r11. */
__attribute__((used, noreturn)) static void save_fault(const uint32_t *frame,
                                                       const uint32_t *high)
{
    struct pt_fault *fault = &pt_fault_record;
    /* Else the exception had nowhere to write it. */
    const bool held = within((uint32_t)(uintptr_t)frame, pt_sram_start, pt_sram_end);
    for (uint32_t i = 0; i < 8u; ++i) {
        fault->stacked[i] = held ? frame[i] : 0u;
        fault->high[i] = high[i];
    }
    fault->sp = (uint32_t)(uintptr_t)(frame + 8);
    __asm__ volatile("mrs %0, ipsr" : "=r"(fault->exception));
    const uint32_t pc = fault->stacked[6] & ~1u;
    fault->code = 0;
    if (within(pc, pt_sram_start, pt_sram_end) || within(pc, pt_flash_first, pt_flash_last)) {
        const uint16_t *code = (const uint16_t *)(uintptr_t)pc;
        fault->code = code[0] | (uint32_t)code[1] << 16;
    }
    seal(fault);
    pt_fault_end();
    for (;;) {
    }
}

__attribute__((section(".startup"), optimize("no-tree-loop-distribute-patterns"))) void
pt_fault_recall(void)
{
    volatile uint32_t *word = &pt_fault_record.magic;
    for (uint32_t i = 0; i < WORDS; ++i) {
        word[i] = PT_EXCEPTION_BITE;
    }
    seal(&pt_fault_record);
}

/*
 * All code uses the main stack. The stacked alignment word is not looked for: sp may be 4 low.
 * Where sp has left the stack, or has no room left there for this, the stack starts anew.
 */
__attribute__((naked)) void pt_hard_fault(void)
{
    __asm__("mov r0, sp\n\t"
            "ldr r1, =pt_stack_start + 128\n\t"
            "ldr r2, =pt_stack_end\n\t"
            "cmp r0, r1\n\t"
            "blo 1f\n\t"
            "cmp r0, r2\n\t"
            "blo 2f\n"
            "1:\n\t"
            "mov sp, r2\n"
            "2:\n\t"
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
