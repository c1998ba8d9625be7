/*
 * The serial link against a reference that was written from its page: what is accepted, each byte
 * of each answer, and what memory holds afterwards must be the same.
 *
 *   piece (most bytes that arrive at once), program of wire.h
 */
#include "app/pt_link.h"

#include <setjmp.h>
#include <string.h>

#include "app/pt_board.h"
#include "input.h"
#include "reference_link.h"
#include "wire.h"

enum { MODEL_SIZE = 1500, PLAN_SIZE = 200, FAULT_SIZE = 40, FLASH_SIZE = 4096 + 768 };
enum { MOST_ANSWERS = 40 * WIRE_SIZE, SHORT_FRAME = 18 /* of 16 bytes, on the wire */ };

/* What a device has: two windows lie side by side, and no range may reach from one to the other. */
struct device {
    struct pt_mailbox mailbox;
    uint8_t windows[MODEL_SIZE + PLAN_SIZE];
    uint8_t fault[FAULT_SIZE];
    uint8_t flash[FLASH_SIZE];
};

static struct {
    struct device *device;
    struct pt_link link;
    struct pt_link_hello hello;
    const uint8_t *wire;
    size_t left;
    size_t piece; /* bytes that have arrived */
    uint8_t sent[MOST_ANSWERS];
    size_t sent_size;
    jmp_buf restarted;
    int restarts;
} here;

static struct reference reference;

uint32_t pt_board_receive(uint32_t port, uint8_t *to, uint32_t room)
{
    fuzz_require(port == 1u, "a link asks for its own port");
    const size_t ready = here.piece < here.left ? here.piece : here.left;
    const size_t count = ready < room ? ready : room;
    memcpy(to, here.wire, count);
    here.wire += count;
    here.left -= count;
    here.piece -= count;
    return (uint32_t)count;
}

void pt_board_send(uint32_t port, const uint8_t *from, uint32_t size)
{
    fuzz_require(port == 1u, "a link answers at its own port");
    fuzz_require(size <= sizeof here.sent - here.sent_size, "answers are bounded");
    memcpy(here.sent + here.sent_size, from, size);
    here.sent_size += size;
}

void pt_board_restart(enum pt_restart how)
{
    longjmp(here.restarted, how == PT_RESTART_BOOTSEL ? 2 : 1);
}

int pt_board_flash_write(uint32_t offset, const uint8_t *from, uint32_t size)
{
    fuzz_require(offset < FLASH_SIZE && size <= FLASH_SIZE - offset, "flash is written in flash");
    uint8_t *to = here.device->flash + offset;
    if (offset % PT_LINK_FLASH_SECTOR == 0u) {
        const uint32_t left = FLASH_SIZE - offset;
        memset(to, 0xff, left < PT_LINK_FLASH_SECTOR ? left : PT_LINK_FLASH_SECTOR);
    }
    for (uint32_t i = 0; i < size; ++i) {
        to[i] &= from[i];
    }
    return memcmp(to, from, size) == 0 ? 0 : -1;
}

static void open_window(uint32_t name, void *at, uint32_t size, bool writable)
{
    struct pt_window *window = &here.device->mailbox.window[name];
    window->address = (uintptr_t)at;
    window->size = size;
    window->writable = writable ? 1u : 0u;
}

static struct reference_region *add_region(void *at, uint32_t size, bool writable)
{
    struct reference_region *region = &reference.region[reference.regions++];
    region->address = (uintptr_t)at;
    region->size = size;
    region->writable = writable;
    region->bytes = fuzz_memory(size);
    return region;
}

static void put_hello(void)
{
    const struct pt_link_hello *hello = &here.hello;
    uint8_t *to = reference.hello;
    const uint64_t numbers[] = {hello->magic,    hello->version,     hello->mailbox, hello->payload,
                                hello->clock_hz, hello->boot_cycles, hello->reset};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
        for (size_t byte = 0; byte < (i == 2u ? 8u : 4u); ++byte) {
            *to++ = (uint8_t)(numbers[i] >> 8u * byte);
        }
    }
    memcpy(to, hello->build, 8);
    memcpy(to + 8, hello->chip, 8);
}

static void set_up(void)
{
    struct device *device = fuzz_memory(sizeof *device);
    struct pt_mailbox *mailbox = &device->mailbox;
    memset(device, 0, sizeof *device);
    fuzz_fill(device->windows, sizeof device->windows, 1);
    fuzz_fill(device->fault, sizeof device->fault, 2);
    memset(device->flash, 0xff, sizeof device->flash);
    here.device = device;
    open_window(PT_WINDOW_MODEL, device->windows, MODEL_SIZE, true);
    open_window(PT_WINDOW_PLAN, device->windows + MODEL_SIZE, PLAN_SIZE, false);
    open_window(PT_WINDOW_FAULT, device->fault, FAULT_SIZE, false);
    open_window(PT_WINDOW_FLASH, device->flash, FLASH_SIZE, true);
    struct reference_region *region = add_region(mailbox, sizeof *mailbox, true);
    region->mailbox = true;
    region->writable_from = (uint32_t)offsetof(struct pt_mailbox, command);
    region->writable_size = sizeof mailbox->command + sizeof mailbox->argument;
    (void)add_region(device->windows, MODEL_SIZE, true);
    (void)add_region(device->windows + MODEL_SIZE, PLAN_SIZE, false);
    (void)add_region(device->fault, FAULT_SIZE, false);
    add_region(device->flash, FLASH_SIZE, true)->flash = true;
    here.hello = (struct pt_link_hello){
        PT_LINK_MAGIC, PT_LINK_VERSION, (uintptr_t)mailbox, PT_LINK_PAYLOAD, 125000000u, 4711u,
        PT_RESET_REQUEST, {1, 0, 3, 4, 5, 6, 7, 0}, {0},
    };
    put_hello();
}

/* The device and the reference as at first; built once, because that takes longer than an input. */
static void start_over(void)
{
    static struct device first;
    if (here.device == NULL) {
        set_up();
        first = *here.device;
    }
    *here.device = first;
    reference.greeted = reference.asked = false;
    for (uint32_t i = 0; i < reference.regions; ++i) {
        struct reference_region *region = &reference.region[i];
        memcpy(region->bytes, (const void *)(uintptr_t)region->address, region->size);
    }
}

/* Serves what is on the wire to its end, and starts anew with each restart. */
static void run_device(const uint8_t *wire, size_t size, size_t piece)
{
    here.wire = wire;
    here.left = size;
    here.sent_size = 0;
    here.restarts = 0;
    if (setjmp(here.restarted) != 0) {
        ++here.restarts;
    }
    pt_link_start(&here.link, 1, &here.device->mailbox, &here.hello);
    while (here.left != 0u) {
        here.piece = here.piece == 0u ? piece : here.piece;
        pt_link_serve(&here.link);
    }
    pt_link_serve(&here.link); /* nothing has arrived */
}

/* The next of the answers must be this one, where it may be refused with any of these errors. */
static void expect(const uint8_t **sent, size_t *left, uint8_t *content, size_t size,
                   uint32_t errors)
{
    static uint8_t wire[2 * REFERENCE_WIRE];
    struct reference_frame answer;
    fuzz_require(*left > 2u && (*sent)[0] == 0u, "what is accepted is answered");
    const uint8_t *end = memchr(*sent + 1, 0, *left - 1u);
    fuzz_require(end != NULL && reference_parse(*sent + 1, (size_t)(end - *sent) - 1u, &answer),
                 "an answer is a frame");
    if (errors != 0u) {
        fuzz_require((errors >> answer.error & 1u) != 0u, "a refusal has the right error");
        content[1] = reference.error = answer.error;
        size = reference_close(content, size - 4u);
    }
    const size_t wire_size = reference_encode(content, size, wire);
    fuzz_require(wire_size == (size_t)(end - *sent) + 1u && memcmp(wire, *sent, wire_size) == 0,
                 "an answer has these bytes");
    *sent = end + 1;
    *left -= wire_size;
}

/* Where a request stands that asks for the endless loop or the fault: nobody returns from those. */
static size_t before_self_test(const uint8_t *wire, size_t size)
{
    struct reference_frame frame;
    size_t start = 0;
    for (size_t at = 0; at < size; ++at) {
        if (wire[at] != 0u) {
            continue;
        }
        if (at - start <= SHORT_FRAME && reference_parse(wire + start, at - start, &frame) &&
            frame.kind == RESTART && frame.length == 4u && frame.payload[0] >= HANG) {
            return start;
        }
        start = at + 1u;
    }
    return size;
}

static int compare(const uint8_t *wire, size_t size)
{
    static uint8_t content[2 * REFERENCE_CONTENT];
    struct reference_frame frame;
    const uint8_t *sent = here.sent;
    size_t left = here.sent_size;
    size_t start = 0;
    int restarts = 0;
    for (size_t at = 0; at < size; ++at) {
        if (wire[at] != 0u) {
            continue;
        }
        if (reference_parse(wire + start, at - start, &frame) && reference_is_request(&frame)) {
            enum reference_restart restart;
            uint32_t errors;
            const size_t made = reference_answer(&reference, &frame, content, &errors, &restart);
            expect(&sent, &left, content, made, errors);
            if (restart != NO_RESTART) {
                reference.greeted = reference.asked = false;
                ++restarts;
            }
        }
        start = at + 1u;
    }
    fuzz_require(left == 0u, "what is not accepted is not answered");
    return restarts;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire wire;
    struct fuzz_input input = {data, size};
    start_over();
    const size_t piece = 1u + fuzz_u16(&input);
    wire_make(&wire, &input, &reference);
    const size_t served = before_self_test(wire.bytes, wire.size);
    here.piece = 0;
    run_device(wire.bytes, served, piece);
    fuzz_require(compare(wire.bytes, served) == here.restarts, "a restart is one");
    for (uint32_t i = 0; i < reference.regions; ++i) {
        const struct reference_region *region = &reference.region[i];
        fuzz_require(reference_same((const uint8_t *)(uintptr_t)region->address, region->bytes,
                                    region->size),
                     "memory holds what was poked");
    }
    return 0;
}
