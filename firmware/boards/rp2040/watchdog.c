#include "boards/rp2040/watchdog.h"

#include "boards/rp2040/rp2040.h"

#define MARK 0x50545200u /* "PTR", and a reason in the last byte */

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

void pt_watchdog_reset(enum pt_reset_reason reason)
{
    pt_watchdog_mark(reason);
    PT_REGISTER(WATCHDOG_CTRL + PT_ALIAS_SET) = WATCHDOG_CTRL_TRIGGER;
    for (;;) {
    }
}
