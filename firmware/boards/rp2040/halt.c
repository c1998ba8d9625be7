#include "boards/rp2040/halt.h"

#include "boards/cortex_m0/start.h"

volatile uint32_t pt_halt_reason;

void pt_halt(enum pt_halt reason)
{
    pt_halt_reason = reason;
    pt_board_halt();
}

void pt_image_damaged(void)
{
    pt_halt(PT_HALT_IMAGE);
}

__attribute__((naked, noinline, section(".idle"))) void pt_board_halt(void)
{
    __asm__("nop\n1:\tb 1b");
}
