/*
 * Board "microbit": QEMU's Cortex-M0 with the RP2040's memory sizes. No peripheral is used: the
 * harness reaches memory through the gdb stub.
 */
#include <stddef.h>
#include <stdint.h>

#include "app/pt_app.h"

#define STACK_PAINT 0xa5a5a5a5u

enum pt_fault_format { PT_FAULT_MAGIC = 0x50544654 };

/* What the fault handler saves; read by the harness after a crash. */
struct pt_fault {
    uint32_t magic;
    uint32_t stacked[8]; /* r0-r3, r12, lr, pc, xpsr as the exception stacked them */
    uint32_t high[8];    /* r4-r11 */
    uint32_t sp;         /* before the exception */
};

extern uint32_t pt_code_load[], pt_code_start[], pt_code_end[];
extern uint32_t pt_bss_start[], pt_bss_end[];
extern uint32_t pt_stack_start[], pt_stack_end[];
extern uint8_t pt_arena_start[], pt_arena_end[];
extern uint8_t pt_flash_start[], pt_flash_end[];

struct pt_mailbox pt_mailbox;
struct pt_fault pt_fault_record;
static struct pt_app app;

void pt_reset(void);
void pt_hard_fault(void);

/* These lie in flash or are called from there: a BL does not reach from SRAM to flash. */
#define FAR __attribute__((long_call))
FAR void pt_board_idle(void);
FAR void pt_board_halt(void);
FAR static void run(void);

uint32_t pt_board_stack_used(void)
{
    const uint32_t *word = pt_stack_start;
    while (word < pt_stack_end && *word == STACK_PAINT) {
        ++word;
    }
    return (uint32_t)((uintptr_t)pt_stack_end - (uintptr_t)word);
}

void pt_board_alive(void)
{
}

/* The plugin counts here. */
uint64_t pt_board_cycles(void)
{
    return 0;
}

/* The harness stops the device at the first instruction and lets it go on at the second. */
__attribute__((naked, noinline, section(".idle"))) void pt_board_idle(void)
{
    __asm__("nop\n\tbx lr");
}

__attribute__((naked, noinline, section(".idle"))) void pt_board_halt(void)
{
    __asm__("nop\n1:\tb 1b");
}

/* r0: the stacked frame, r1: r4-r11 pushed below it. */
__attribute__((used, noreturn)) static void save_fault(const uint32_t *frame,
                                                       const uint32_t *high)
{
    struct pt_fault *fault = &pt_fault_record;
    for (uint32_t i = 0; i < 8u; ++i) {
        fault->stacked[i] = frame[i];
        fault->high[i] = high[i];
    }
    fault->sp = (uint32_t)(uintptr_t)(frame + 8);
    fault->magic = PT_FAULT_MAGIC;
    pt_board_halt();
    for (;;) {
    }
}

/* All code uses the main stack. The stacked alignment word is not looked for: sp may be 4 low. */
__attribute__((naked)) void pt_hard_fault(void)
{
    __asm__("mov r0, sp\n\t"
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

__attribute__((noinline, noreturn)) static void run(void)
{
    const struct pt_board_memory memory = {
        pt_arena_start,
        (uint32_t)(pt_arena_end - pt_arena_start),
        (uint32_t)((uintptr_t)pt_code_end - (uintptr_t)pt_code_start),
        (uint32_t)((uintptr_t)pt_bss_end - (uintptr_t)pt_bss_start),
        (uint32_t)((uintptr_t)pt_stack_end - (uintptr_t)pt_stack_start),
        pt_flash_start,
        (uint32_t)(pt_flash_end - pt_flash_start),
        &pt_fault_record,
        sizeof pt_fault_record,
    };
    pt_app_start(&app, &pt_mailbox, &memory);
    for (;;) {
        pt_board_idle();
        pt_app_serve(&app);
    }
}

/* Runs from flash before SRAM has any code, so it must not call the library's memcpy. */
__attribute__((section(".startup"), noreturn, optimize("no-tree-loop-distribute-patterns"))) void
pt_reset(void)
{
    const uint32_t *from = pt_code_load;
    for (uint32_t *to = pt_code_start; to < pt_code_end; ++to) {
        *to = *from++;
    }
    for (uint32_t *to = pt_bss_start; to < pt_bss_end; ++to) {
        *to = 0;
    }
    volatile uint32_t *paint = pt_stack_start;
    const uint32_t *here = __builtin_frame_address(0);
    while (paint + 16 < here) {
        *paint++ = STACK_PAINT;
    }
    run();
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[48] = {
    (uintptr_t)pt_stack_end,
    (uintptr_t)pt_reset,
    (uintptr_t)pt_hard_fault, /* NMI */
    (uintptr_t)pt_hard_fault,
    [4 ... 47] = (uintptr_t)pt_hard_fault,
};
