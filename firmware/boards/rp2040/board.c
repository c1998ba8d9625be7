/*
 * Board "rp2040": a Raspberry Pi Pico, without an SDK. The host comes over the UART or over USB.
 *
 * From reset: boot ROM, boot2.S (flash becomes memory), start.S and clocks.c (full speed),
 * boards/cortex_m0/start.c (SRAM holds code), pt_board_run of the program, which calls
 * pt_board_start here. Core 1 stays in the boot ROM.
 */
#include "boards/rp2040/board.h"

#include <stdbool.h>
#include <stdint.h>

#include "boards/cortex_m0/fault.h"
#include "boards/rp2040/clocks.h"
#include "boards/rp2040/cycles.h"
#include "boards/rp2040/flash.h"
#include "boards/rp2040/rom.h"
#include "boards/rp2040/rp2040.h"
#include "boards/rp2040/uart.h"
#include "boards/rp2040/usb.h"
#include "boards/rp2040/watchdog.h"

enum { DRAIN_US = 20000, NAP_US = 10000 };

static bool usb;

/* Of pt_board_nap's alarm: it has woken the core. */
static void nap_interrupt(void)
{
    PT_REGISTER(TIMER_INTR) = 1;
}

/* What VTOR points to must be aligned to 256 bytes; link.ld puts it at the start of the code. */
__attribute__((section(".sram_vectors"), used)) static const uintptr_t vectors[48] = {
    (uintptr_t)pt_stack_end,
    (uintptr_t)pt_reset,
    [2 ... 15] = (uintptr_t)pt_hard_fault,
    [16 + TIMER_IRQ_0] = (uintptr_t)nap_interrupt,
    [16 + TIMER_IRQ_1] = (uintptr_t)pt_watchdog_interrupt,
    [17 + TIMER_IRQ_1... 15 + USBCTRL_IRQ] = (uintptr_t)pt_hard_fault,
    [16 + USBCTRL_IRQ] = (uintptr_t)pt_usb_interrupt,
    [17 + USBCTRL_IRQ... 15 + UART0_IRQ] = (uintptr_t)pt_hard_fault,
    [16 + UART0_IRQ] = (uintptr_t)pt_uart_interrupt,
    [17 + UART0_IRQ... 47] = (uintptr_t)pt_hard_fault,
};

/* Emulators know the first instruction: between commands the program comes here. */
__attribute__((naked, noinline, section(".idle"))) void pt_board_idle(void)
{
    __asm__("nop\n\tbx lr");
}

void pt_board_alive(void)
{
    pt_watchdog_feed();
}

/* The record stays in SRAM; start-up does not clear it. */
void pt_fault_end(void)
{
    const bool late = pt_fault_record.exception == PT_EXCEPTION_WATCHDOG;
    pt_watchdog_reset(late ? PT_RESET_WATCHDOG : PT_RESET_FAULT);
}

uint32_t pt_board_receive(uint32_t port, uint8_t *to, uint32_t room)
{
    if (port == PT_PORT_UART) {
        return pt_uart_receive(to, room);
    }
    return usb ? pt_usb_receive(to, room) : 0u;
}

void pt_board_send(uint32_t port, const uint8_t *from, uint32_t size)
{
    if (port == PT_PORT_UART) {
        pt_uart_send(from, size);
    } else if (usb) {
        pt_usb_send(from, size);
    }
}

void pt_board_restart(enum pt_restart how)
{
    /* The UART's FIFO and the host's next poll of USB. TIMER may stand still in an emulator. */
    pt_uart_flush();
    const uint32_t begin = PT_REGISTER(TIMERAWL);
    for (uint32_t i = 0; i < 100u * DRAIN_US && PT_REGISTER(TIMERAWL) - begin < DRAIN_US; ++i) {
    }
    if (how == PT_RESTART_BOOTSEL) {
        void (*reset_to_usb_boot)(uint32_t, uint32_t) =
            (void (*)(uint32_t, uint32_t))pt_rom_function('U', 'B');
        pt_watchdog_mark(PT_RESET_REQUEST);
        if (reset_to_usb_boot) {
            reset_to_usb_boot(0, 0); /* no pin for activity, all interfaces */
        }
    }
    pt_watchdog_reset(PT_RESET_REQUEST);
}

uint32_t pt_board_micros(void)
{
    return PT_REGISTER(TIMERAWL);
}

void pt_board_nap(void)
{
    PT_REGISTER(TIMER_ALARM0) = PT_REGISTER(TIMERAWL) + NAP_US;
    PT_REGISTER(TIMER_INTE + PT_ALIAS_SET) = 1;
    PT_REGISTER(NVIC_ISER) = 1u << TIMER_IRQ_0;
    __asm__ volatile("dsb\n\twfi\n\tcpsie i" ::: "memory");
}

/*
 * Nothing lies below SRAM, where the stack ends, but the address may still answer: the memory
 * protection unit makes it a fault. The exception's frame has nowhere to go, so that the record
 * holds sp and r4-r11 only; a core that locks up instead is reset by the watchdog. No data is lost
 * to the stack.
 */
static void guard_stack(void)
{
    PT_REGISTER(MPU_RNR) = 0;
    PT_REGISTER(MPU_RBAR) = 0x1c000000u;
    PT_REGISTER(MPU_RASR) = MPU_RASR_XN | 25u << MPU_RASR_SIZE_LSB | MPU_RASR_ENABLE;
    PT_REGISTER(MPU_CTRL) = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

uint32_t pt_board_start(uint8_t chip[8])
{
    /* First: the answer to a fault is a reset by the watchdog. */
    const enum pt_reset_reason reason = pt_watchdog_start();
    PT_REGISTER(NVIC_ICER) = 0xffffffffu;
    PT_REGISTER(NVIC_ICPR) = 0xffffffffu;
    PT_REGISTER(VTOR) = (uint32_t)(uintptr_t)vectors;
    guard_stack();
    pt_cycles_start();
    if (reason != PT_RESET_FAULT && reason != PT_RESET_WATCHDOG) {
        pt_fault_record = (struct pt_fault){0};
    }
    pt_watchdog_warn();
    pt_flash_number(chip);
    pt_uart_start();
    usb = pt_clocks_usb();
    if (usb) {
        pt_usb_start(chip);
    }
    __asm__ volatile("cpsie i" ::: "memory");
    return (uint32_t)reason;
}
