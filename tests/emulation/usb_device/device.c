/*
 * A program around boards/rp2040/usb.c that does what the test asks of it. It runs in SRAM, from
 * the vectors at its start.
 */
#include <stdbool.h>
#include <stdint.h>

#include "app/pt_board.h"
#include "boards/rp2040/usb.h"

enum mode {
    WAIT = 0,    /* takes nothing from the host */
    ECHO = 1,    /* sends back what comes */
    SEND = 2,    /* sends `size` bytes of `data`, then waits */
    RECEIVE = 3, /* takes up to `room` bytes once, then waits */
};

struct test {
    uint32_t mode;
    uint32_t room;    /* most bytes that are taken at a time */
    uint32_t size;    /* of `data` */
    uint32_t micros;  /* how long the last SEND took */
    uint32_t restart; /* 1 + enum pt_restart, once it is asked for */
    uint32_t primask; /* after RECEIVE, which is called with interrupts off */
    uint8_t data[4096];
};

extern uint32_t stack_end[];
volatile struct test test;
void reset(void);

static uint32_t now(void)
{
    return *(volatile uint32_t *)(uintptr_t)0x40054028;
}

void pt_board_restart(enum pt_restart how)
{
    test.restart = 1u + (uint32_t)how;
    for (;;) {
    }
}

void reset(void)
{
    static const uint8_t chip[8] = {0xe6, 0x60, 0x58, 0x38, 0x83, 0x4a, 0x0f, 0x2c};
    uint8_t *data = (uint8_t *)(uintptr_t)test.data;
    pt_usb_start(chip);
    for (;;) {
        if (test.mode == ECHO) {
            const uint32_t size = pt_usb_receive(data, test.room);
            pt_usb_send(data, size);
        } else if (test.mode == SEND) {
            const uint32_t start = now();
            pt_usb_send(data, test.size);
            test.micros = now() - start;
            test.mode = WAIT;
        } else if (test.mode == RECEIVE) {
            uint32_t primask;
            __asm__ volatile("cpsid i" : : : "memory");
            const uint32_t size = pt_usb_receive(data, test.room);
            __asm__ volatile("mrs %0, primask\n\tcpsie i" : "=r"(primask) : : "memory");
            test.size = size;
            test.primask = primask;
            test.mode = WAIT;
        }
    }
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[48] = {
    (uintptr_t)stack_end,
    (uintptr_t)reset,
    [16 + 5] = (uintptr_t)pt_usb_interrupt,
};
