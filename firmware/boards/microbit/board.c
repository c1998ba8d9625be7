/*
 * Board "microbit": QEMU's Cortex-M0 with the RP2040's memory sizes. No peripheral is used: the
 * harness reaches memory through the gdb stub.
 */
#include <stddef.h>
#include <stdint.h>

#include "app/pt_app.h"
#include "boards/cortex_m0/fault.h"
#include "boards/cortex_m0/start.h"

extern uint8_t pt_arena_start[], pt_arena_end[];
extern uint8_t pt_flash_start[], pt_flash_end[];

struct pt_mailbox pt_mailbox;
static struct pt_app app;

PT_FAR void pt_board_idle(void);
PT_FAR void pt_board_halt(void);

void pt_board_alive(void)
{
}

/* The plugin counts here. */
uint64_t pt_board_cycles(void)
{
    return 0;
}

/* The harness watches the word: reading it stops the device, which goes on behind the load. */
__attribute__((naked, noinline, section(".idle"))) void pt_board_idle(void)
{
    __asm__("ldr r0, 1f\n\tbx lr\n\t.balign 4\n1:\t.word 0");
}

__attribute__((naked, noinline, section(".idle"))) void pt_board_halt(void)
{
    __asm__("nop\n1:\tb 1b");
}

const struct pt_fault_doing pt_fault_doing = {&pt_mailbox.command, &app.trainer.operation};

/* The harness stops here too, and reads the record. */
void pt_fault_end(void)
{
    pt_board_halt();
}

/* A function of its own, so that whoever looks for the caller of pt_board_halt finds a name. */
__attribute__((noinline, section(".startup"))) void pt_image_damaged(void)
{
    pt_board_halt();
    for (;;) {
    }
}

void pt_board_run(void)
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

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[48] = {
    (uintptr_t)pt_stack_end,
    (uintptr_t)pt_reset,
    (uintptr_t)pt_hard_fault, /* NMI */
    (uintptr_t)pt_hard_fault,
    [4 ... 47] = (uintptr_t)pt_hard_fault,
};
