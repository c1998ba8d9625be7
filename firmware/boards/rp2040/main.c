/*
 * The program of board "rp2040" that the harness talks to: the application behind a link for each
 * port.
 */
#include <stdint.h>

#include "app/pt_app.h"
#include "app/pt_link.h"
#include "boards/cortex_m0/fault.h"
#include "boards/rp2040/board.h"

enum { BUILD_ID_AT = 16 };

extern const uint8_t pt_build_id[]; /* the ELF note; the number follows its head of 16 bytes */
extern uint8_t pt_arena_start[], pt_arena_end[];
extern uint8_t pt_flash_start[], pt_flash_end[];

struct pt_mailbox pt_mailbox;
static struct pt_app app;
static struct pt_link links[PT_PORTS];
static struct pt_link_hello hello;

const struct pt_fault_doing pt_fault_doing = {&pt_mailbox.command, &app.trainer.operation};

static void fill_hello(uint32_t reason)
{
    hello.magic = PT_LINK_MAGIC;
    hello.version = PT_LINK_VERSION;
    hello.mailbox = (uintptr_t)&pt_mailbox;
    hello.payload = PT_LINK_PAYLOAD;
    hello.clock_hz = PT_CLOCK_MHZ * 1000000u;
    hello.reset = reason;
    for (uint32_t i = 0; i < sizeof hello.build; ++i) {
        hello.build[i] = pt_build_id[BUILD_ID_AT + i];
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
    fill_hello(pt_board_start(hello.chip));
    pt_app_start(&app, &pt_mailbox, &memory);
    for (uint32_t port = 0; port < PT_PORTS; ++port) {
        pt_link_start(&links[port], port, &pt_mailbox, &hello);
    }
    hello.boot_cycles = (uint32_t)pt_board_cycles();
    for (;;) {
        pt_board_idle();
        pt_board_alive();
        for (uint32_t port = 0; port < PT_PORTS; ++port) {
            pt_link_serve(&links[port]);
        }
        pt_app_serve(&app);
    }
}
