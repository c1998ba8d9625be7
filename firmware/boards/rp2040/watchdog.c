#include "boards/rp2040/watchdog.h"

#include <stdbool.h>

#include "boards/rp2040/rp2040.h"

#define MARK 0x50545200u /* "PTR", and a reason in the last byte */

enum { WARNING_US = 50000, ALARM = 1 << 1 };

void pt_watchdog_mark(enum pt_reset_reason reason)
{
    PT_REGISTER(WATCHDOG_SCRATCH2) = MARK | (uint32_t)reason;
}

enum pt_reset_reason pt_watchdog_start(void)
{
    const uint32_t mark = PT_REGISTER(WATCHDOG_SCRATCH2);
    enum pt_reset_reason reason = PT_RESET_POWER;
    if (PT_REGISTER(WATCHDOG_REASON) != 0u) {
        reason = PT_RESET_REQUEST; /* without a mark: the boot ROM after its USB drive */
        if ((mark & ~0xffu) == MARK && (mark & 0xffu) <= (uint32_t)PT_RESET_FAULT) {
            reason = (enum pt_reset_reason)(mark & 0xffu);
        }
    }
    if (PT_REGISTER(WATCHDOG_SCRATCH3) != 1u << CLK_SYS_CTRL_SRC_REF) {
        reason = PT_RESET_REQUEST; /* the clocks ran on: a debugger reset the core alone */
    }
    PT_REGISTER(PSM_WDSEL) = PSM_WDSEL_BITS & ~(PSM_WDSEL_ROSC | PSM_WDSEL_XOSC);
    PT_REGISTER(WATCHDOG_SCRATCH4) = 0; /* the boot ROM shall boot from flash */
    pt_watchdog_mark(PT_RESET_WATCHDOG);
    pt_watchdog_feed();
    PT_REGISTER(WATCHDOG_CTRL) = WATCHDOG_CTRL_ENABLE | WATCHDOG_CTRL_PAUSE_DBG0
                                 | WATCHDOG_CTRL_PAUSE_DBG1 | WATCHDOG_CTRL_PAUSE_JTAG;
    return reason;
}

void pt_watchdog_feed(void)
{
    PT_REGISTER(WATCHDOG_LOAD) = WATCHDOG_LOAD_BITS;
}

/* Sets the alarm anew, unless the watchdog bites next: then the answer is true. */
__attribute__((used)) static bool about_to_bite(void)
{
    const uint32_t left_us = (PT_REGISTER(WATCHDOG_CTRL) & WATCHDOG_LOAD_BITS) / 2u;
    PT_REGISTER(TIMER_INTR) = ALARM;
    if (left_us <= 2u * WARNING_US) {
        return true;
    }
    PT_REGISTER(TIMER_ALARM1) = PT_REGISTER(TIMERAWL) + left_us - WARNING_US;
    return false;
}

void pt_watchdog_warn(void)
{
    (void)about_to_bite();
    PT_REGISTER(TIMER_INTE + PT_ALIAS_SET) = ALARM;
    PT_REGISTER(NVIC_ISER) = 1u << TIMER_IRQ_1;
}

/* With all but r0-r3 and lr as the exception found it, which pt_hard_fault wants too. */
__attribute__((naked)) void pt_watchdog_interrupt(void)
{
    __asm__("push {r4, lr}\n\t"
            "bl about_to_bite\n\t"
            "pop {r2, r3}\n\t"
            "mov lr, r3\n\t"
            "cmp r0, #0\n\t"
            "bne 1f\n\t"
            "bx lr\n"
            "1:\n\t"
            "ldr r2, =pt_hard_fault\n\t"
            "bx r2\n\t"
            ".ltorg");
}

void pt_watchdog_reset(enum pt_reset_reason reason)
{
    pt_watchdog_mark(reason);
    PT_REGISTER(WATCHDOG_CTRL + PT_ALIAS_SET) = WATCHDOG_CTRL_TRIGGER;
    for (;;) {
    }
}
