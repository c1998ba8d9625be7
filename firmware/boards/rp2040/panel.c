#include "boards/rp2040/panel.h"

#include "boards/rp2040/rp2040.h"

enum {
    LED_PIN = 25,
    SETTLE = 250, /* turns of some 12 cycles, for the pull-up to raise the line */
};

void pt_led_start(void)
{
    PT_REGISTER(SIO_GPIO_OUT_CLR) = 1u << LED_PIN;
    PT_REGISTER(SIO_GPIO_OE_SET) = 1u << LED_PIN;
    PT_REGISTER(GPIO25_CTRL) = GPIO_FUNCSEL_SIO;
}

void pt_led_set(bool on)
{
    PT_REGISTER(on ? SIO_GPIO_OUT_SET : SIO_GPIO_OUT_CLR) = 1u << LED_PIN;
}

bool pt_button_held(void)
{
    uint32_t primask;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(primask)::"memory");
    PT_REGISTER(IO_QSPI_SS_CTRL) = IO_QSPI_OEOVER_DISABLE;
    for (volatile uint32_t i = 0; i < SETTLE; ++i) {
    }
    const uint32_t in = PT_REGISTER(SIO_GPIO_HI_IN);
    PT_REGISTER(IO_QSPI_SS_CTRL) = IO_QSPI_OUTOVER_NORMAL;
    __asm__ volatile("msr primask, %0" ::"r"(primask) : "memory");
    return (in & SIO_GPIO_HI_SS) == 0u;
}
