#include "boards/rp2040/clocks.h"

#include "boards/rp2040/halt.h"
#include "boards/rp2040/rp2040.h"

#if PT_CLOCK_MHZ == 125 /* 12 MHz * 125 / 6 / 2 */
enum { SYS_FBDIV = 125, SYS_POSTDIV1 = 6, SYS_POSTDIV2 = 2 };
#elif PT_CLOCK_MHZ == 200 /* 12 MHz * 100 / 6 / 1 */
enum { SYS_FBDIV = 100, SYS_POSTDIV1 = 6, SYS_POSTDIV2 = 1 };
#else
#error "CLOCK_MHZ is 125 or 200"
#endif

enum {
    USB_FBDIV = 100, /* 12 MHz * 100 / 5 / 5 */
    USB_POSTDIV1 = 5,
    USB_POSTDIV2 = 5,
    XOSC_DELAY = 47, /* times 256 cycles of the crystal: 1 ms (2.16.3) */
    XOSC_MHZ = 12,
    POLLS = 100000,
};

#define RESET_KEPT (RESETS_IO_QSPI | RESETS_PADS_QSPI) /* the program comes through these */
#define RESET_FIRST                                                                                \
    (RESETS_IO_BANK0 | RESETS_PADS_BANK0 | RESETS_PLL_SYS | RESETS_PLL_USB | RESETS_SYSINFO        \
     | RESETS_TIMER)

/* Whether all bits of `mask` came within POLLS. */
static bool wait_for(uint32_t address, uint32_t mask)
{
    for (uint32_t i = 0; i < POLLS; ++i) {
        if ((PT_REGISTER(address) & mask) == mask) {
            return true;
        }
    }
    return false;
}

static void expect(uint32_t address, uint32_t mask, enum pt_halt reason)
{
    if (!wait_for(address, mask)) {
        pt_halt(reason);
    }
}

static bool unreset(uint32_t blocks)
{
    PT_REGISTER(RESETS_RESET + PT_ALIAS_CLEAR) = blocks;
    return wait_for(RESETS_RESET_DONE, blocks);
}

static bool pll_start(uint32_t pll, uint32_t fbdiv, uint32_t postdiv1, uint32_t postdiv2)
{
    PT_REGISTER(pll + PLL_CS) = 1; /* the crystal undivided */
    PT_REGISTER(pll + PLL_FBDIV_INT) = fbdiv;
    PT_REGISTER(pll + PLL_PWR + PT_ALIAS_CLEAR) = PLL_PWR_PD | PLL_PWR_VCOPD;
    if (!wait_for(pll + PLL_CS, PLL_CS_LOCK)) {
        return false;
    }
    PT_REGISTER(pll + PLL_PRIM) =
        postdiv1 << PLL_PRIM_POSTDIV1_LSB | postdiv2 << PLL_PRIM_POSTDIV2_LSB;
    PT_REGISTER(pll + PLL_PWR + PT_ALIAS_CLEAR) = PLL_PWR_POSTDIVPD;
    return true;
}

void pt_clocks_start(void)
{
    /* A debugger resets core 0 alone: core 1 may still run a program. Off, then to the ROM. */
    PT_REGISTER(PSM_FRCE_OFF + PT_ALIAS_SET) = PSM_FRCE_OFF_PROC1;
    (void)wait_for(PSM_FRCE_OFF, PSM_FRCE_OFF_PROC1);
    PT_REGISTER(PSM_FRCE_OFF + PT_ALIAS_CLEAR) = PSM_FRCE_OFF_PROC1;

    /* So may the clocks, and watchdog.c wants to know. Back to the ring oscillator. */
    PT_REGISTER(WATCHDOG_SCRATCH3) = PT_REGISTER(CLK_SYS_SELECTED);
    PT_REGISTER(CLK_SYS_RESUS_CTRL) = 0;
    PT_REGISTER(CLK_SYS_CTRL + PT_ALIAS_CLEAR) = CLK_SYS_CTRL_SRC_AUX;
    expect(CLK_SYS_SELECTED, 1u << CLK_SYS_CTRL_SRC_REF, PT_HALT_CLK_SYS);
    PT_REGISTER(CLK_REF_CTRL + PT_ALIAS_CLEAR) = CLK_REF_CTRL_SRC_BITS;
    expect(CLK_REF_SELECTED, 1u << CLK_REF_CTRL_SRC_ROSC, PT_HALT_CLK_REF);
    PT_REGISTER(RESETS_RESET + PT_ALIAS_SET) = RESETS_BITS & ~RESET_KEPT;
    if (!unreset(RESET_FIRST)) {
        pt_halt(PT_HALT_RESETS);
    }
    for (uint32_t pin = 0; pin < PADS_ADC_PINS; ++pin) {
        /* RP2040-E6: digital inputs that may stand between the levels, and draw current then. */
        PT_REGISTER(PADS_GPIO26 + 4u * pin + PT_ALIAS_CLEAR) = PADS_IE;
    }

    PT_REGISTER(XOSC_STARTUP) = XOSC_DELAY;
    PT_REGISTER(XOSC_CTRL) = XOSC_CTRL_ENABLE_1_15MHZ;
    expect(XOSC_STATUS, XOSC_STATUS_STABLE, PT_HALT_XOSC);
    PT_REGISTER(CLK_REF_CTRL) = CLK_REF_CTRL_SRC_XOSC;
    expect(CLK_REF_SELECTED, 1u << CLK_REF_CTRL_SRC_XOSC, PT_HALT_CLK_REF);
    PT_REGISTER(CLK_REF_DIV) = CLK_DIV_1;
    PT_REGISTER(WATCHDOG_TICK) = WATCHDOG_TICK_ENABLE | XOSC_MHZ;

#if PT_CLOCK_MHZ > 133
    /* The regulator has about 1 ms to rise: more than that, at 12 MHz. */
    PT_REGISTER(VREG) = VREG_VSEL_1_15 | VREG_EN;
    for (volatile uint32_t i = 0; i < 2000u; ++i) {
    }
#endif
    if (!pll_start(PLL_SYS_BASE, SYS_FBDIV, SYS_POSTDIV1, SYS_POSTDIV2)) {
        pt_halt(PT_HALT_PLL_SYS);
    }
    PT_REGISTER(CLK_SYS_DIV) = CLK_DIV_1;
    PT_REGISTER(CLK_SYS_CTRL) = CLK_SYS_CTRL_SRC_REF; /* AUXSRC first: its switch may glitch */
    PT_REGISTER(CLK_SYS_CTRL) = CLK_SYS_CTRL_SRC_AUX;
    expect(CLK_SYS_SELECTED, 1u << CLK_SYS_CTRL_SRC_AUX, PT_HALT_CLK_SYS);
    PT_REGISTER(CLK_PERI_CTRL) = CLK_PERI_CTRL_ENABLE;
    if (!unreset(RESETS_UART0)) {
        pt_halt(PT_HALT_RESETS);
    }

    if (pll_start(PLL_USB_BASE, USB_FBDIV, USB_POSTDIV1, USB_POSTDIV2)) {
        PT_REGISTER(CLK_USB_DIV) = CLK_DIV_1;
        PT_REGISTER(CLK_USB_CTRL) = CLK_USB_CTRL_ENABLE;
        (void)unreset(RESETS_USBCTRL);
    }
}

bool pt_clocks_usb(void)
{
    return (PT_REGISTER(PLL_USB_BASE + PLL_CS) & PLL_CS_LOCK) != 0u
           && (PT_REGISTER(RESETS_RESET_DONE) & RESETS_USBCTRL) != 0u;
}
