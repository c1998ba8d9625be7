/*
 * A Pico that learns by itself: the model and what it learned are in the flash's second MiB
 * (window.h), samples come as lines over USB or UART (lines.h). No harness, no mailbox.
 *
 * LED: on: ready; off: at work; slow blinking: no model that serves (any line is answered by why);
 * fast blinking: BOOTSEL is held. BOOTSEL held for 3 s: factory reset, as by the line "factory".
 *
 * A fault, or 8.3 s without progress, resets the chip, which comes back with the last saved state.
 * A part of a line that a USB client left behind is dropped when it goes; on the UART, and of a
 * client that says nothing more, after 2 s. picotool and the 1200 baud touch lead to the USB drive.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boards/cortex_m0/fault.h"
#include "boards/rp2040/board.h"
#include "boards/rp2040/flash.h"
#include "boards/rp2040/panel.h"
#include "boards/rp2040/usb.h"
#include "examples/standalone/button.h"
#include "examples/standalone/lines.h"
#include "kernels/pt_memory.h"

enum {
    CHUNK = 64,
    SILENCE_US = 2000000,
    LOOK_US = 10000,
    FAST_LOG = 16, /* the LED changes every 2^16 us */
    SLOW_LOG = 19,
};

_Static_assert((int)PT_LINES_PORTS == (int)PT_PORTS, "a line for each port");

extern uint8_t pt_arena_start[], pt_arena_end[];
extern uint8_t pt_flash_start[];

/* What came, and was not taken yet. */
struct inlet {
    uint8_t held[CHUNK];
    uint32_t at, size;
    uint32_t since; /* us: when it last had something to do */
};

static struct pt_learner learner;
static struct pt_lines lines;
static struct inlet inlets[PT_PORTS];

static struct pt_button button;

const struct pt_fault_doing pt_fault_doing = {NULL, &learner.trainer.operation};

static void ring_read(void *context, uint32_t offset, uint8_t *to, uint32_t size)
{
    memcpy(to, (const uint8_t *)context + offset, size);
}

static int ring_erase(void *context, uint32_t sector)
{
    return pt_flash_erase((const uint8_t *)context + sector * PT_FLASH_SECTOR);
}

static int ring_program(void *context, uint32_t offset, const uint8_t *page)
{
    return pt_flash_program((const uint8_t *)context + offset, page, PT_FLASH_PAGE);
}

/* Takes what has come, if all before it is done. Interrupts are off. -> whether there is work */
static bool fetch(uint32_t port)
{
    struct inlet *inlet = &inlets[port];
    if (inlet->at == inlet->size) {
        if (port == PT_PORT_USB && pt_usb_ended()) {
            pt_lines_drop(&lines, port);
        }
        inlet->at = 0;
        inlet->size = pt_board_receive(port, inlet->held, CHUNK);
    }
    return inlet->size != 0u;
}

static void serve(uint32_t port)
{
    struct inlet *inlet = &inlets[port];
    if (inlet->at == inlet->size) {
        if (pt_lines_begun(&lines, port) && pt_board_micros() - inlet->since > SILENCE_US) {
            pt_lines_drop(&lines, port);
        }
        return;
    }
    pt_led_set(false);
    while (inlet->at < inlet->size) {
        const enum pt_lines_outcome outcome = pt_lines_take(&lines, port, inlet->held[inlet->at]);
        if (outcome == PT_LINES_WAIT) {
            return;
        }
        ++inlet->at;
        if (outcome == PT_LINES_ANSWERED) {
            pt_board_send(port, (const uint8_t *)lines.answer, lines.size);
            /* The others could not be heard meanwhile. */
            for (uint32_t other = 0; other < PT_PORTS; ++other) {
                inlets[other].since = pt_board_micros();
            }
        }
        pt_board_alive();
    }
    inlet->since = pt_board_micros();
}

static void look_at_button(uint32_t now)
{
    if (now - button.looked < LOOK_US) {
        return;
    }
    if (pt_button_look(&button, pt_button_held(), now) && learner.fault == PT_LEARNER_WORKS) {
        pt_led_set(false);
        (void)pt_learner_factory(&learner);
    }
}

static bool lit(uint32_t now)
{
    return button.held                          ? (now >> FAST_LOG & 1u) != 0u
           : learner.fault == PT_LEARNER_WORKS ? true
                                               : (now >> SLOW_LOG & 1u) != 0u;
}

void pt_board_run(void)
{
    const struct pt_flash ring = {
        .sector = PT_FLASH_SECTOR,
        .page = PT_FLASH_PAGE,
        .sectors = PT_WINDOW_RING_SECTORS,
        .context = pt_flash_start + PT_WINDOW_RING,
        .read = ring_read,
        .erase = ring_erase,
        .program = ring_program,
    };
    uint8_t chip[8];
    pt_board_start(chip);
    pt_led_start();
    pt_learner_open(&learner, pt_flash_start, &ring, pt_arena_start,
                    (uint32_t)(pt_arena_end - pt_arena_start));
    pt_lines_start(&lines, &learner, (uint32_t)(pt_board_cycles() / PT_CLOCK_MHZ));
    for (;;) {
        pt_board_idle();
        pt_board_alive();
        const uint32_t now = pt_board_micros();
        look_at_button(now);
        pt_led_set(lit(now));
        __asm__ volatile("cpsid i" ::: "memory");
        const bool uart = fetch(PT_PORT_UART);
        const bool usb = fetch(PT_PORT_USB);
        if (uart || usb) {
            __asm__ volatile("cpsie i" ::: "memory");
        } else {
            pt_board_nap();
        }
        serve(PT_PORT_UART);
        serve(PT_PORT_USB);
    }
}
