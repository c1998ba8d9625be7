#include "app/pt_link.h"

#include <stddef.h>

#include "app/pt_board.h"
#include "kernels/pt_memory.h"
#include "nn/pt_crc32.h"

enum {
    CRC_SIZE = 4,
    SEND_FROM = 64,                    /* bytes that are worth a call of the board */
    ADDRESS_SIZE = 8,                  /* in front of what is poked */
    MOST_RECEIVED = 2 * PT_LINK_FRAME, /* bytes of one call, so that garbage cannot hold it */
    LINGER = 100000,                   /* turns of a loop: milliseconds, for the last answer */
};

/* An answer on its way: complete COBS blocks leave when they are worth it, the open one stays. */
struct answer {
    uint32_t port;
    uint32_t crc;
    uint32_t code; /* where the code of the open block goes */
    uint32_t used;
    uint8_t wire[SEND_FROM + 256];
};

static void close_block(struct answer *answer)
{
    answer->wire[answer->code] = (uint8_t)(answer->used - answer->code);
    if (answer->used > SEND_FROM) {
        pt_board_send(answer->port, answer->wire, answer->used);
        answer->used = 0;
    }
    answer->code = answer->used++;
}

static void append(struct answer *answer, const void *bytes, uint32_t size)
{
    const uint8_t *byte = bytes;
    answer->crc = pt_crc32(answer->crc, bytes, size);
    for (; size != 0u; --size, ++byte) {
        if (answer->used - answer->code == 255u) {
            close_block(answer);
        }
        if (*byte == 0u) {
            close_block(answer);
        } else {
            answer->wire[answer->used++] = *byte;
        }
    }
}

static void send_answer(uint32_t port, const struct pt_link_head *head, const void *payload)
{
    struct answer answer;
    answer.port = port;
    answer.crc = 0;
    answer.wire[0] = 0; /* ends whatever garbage is on the way */
    answer.code = 1;
    answer.used = 2;
    append(&answer, head, sizeof *head);
    append(&answer, payload, head->length);
    const uint32_t crc = answer.crc;
    append(&answer, &crc, sizeof crc);
    answer.wire[answer.code] = (uint8_t)(answer.used - answer.code);
    answer.wire[answer.used++] = 0;
    pt_board_send(port, answer.wire, answer.used);
}

static bool within(uint64_t address, uint32_t size, uint64_t start, uint32_t room)
{
    return address >= start && address - start <= room && size <= room - (address - start);
}

static bool within_mailbox(const struct pt_mailbox *mailbox, uint64_t address, uint32_t size)
{
    return within(address, size, (uintptr_t)mailbox, sizeof *mailbox);
}

/* The open window that holds the whole range, or NULL. A closed one has no room. */
static const struct pt_window *find_window(const struct pt_mailbox *mailbox, uint64_t address,
                                           uint32_t size)
{
    for (uint32_t i = 0; i < PT_WINDOWS; ++i) {
        const struct pt_window *window = &mailbox->window[i];
        if (within(address, size, window->address, window->size)) {
            return window;
        }
    }
    return NULL;
}

static uint8_t peek(const struct pt_link *link, const uint8_t *payload, uint32_t length,
                    const void **found, uint32_t *size)
{
    struct pt_link_span span;
    if (!link->greeted) {
        return PT_LINK_ERR_HELLO;
    }
    if (length != sizeof span) {
        return PT_LINK_ERR_LENGTH;
    }
    memcpy(&span, payload, sizeof span);
    if (span.zero != 0u) {
        return PT_LINK_ERR_ARGUMENT;
    }
    if (span.size == 0u || span.size > PT_LINK_PAYLOAD) {
        return PT_LINK_ERR_LENGTH;
    }
    if (!within_mailbox(link->mailbox, span.address, span.size) &&
        find_window(link->mailbox, span.address, span.size) == NULL) {
        return PT_LINK_ERR_WINDOW;
    }
    *found = (const void *)(uintptr_t)span.address;
    *size = span.size;
    return PT_LINK_OK;
}

static uint8_t poke_flash(uint32_t offset, const uint8_t *from, uint32_t size)
{
    const uint32_t in_sector = offset % PT_LINK_FLASH_SECTOR;
    if ((offset | size) % PT_LINK_FLASH_PAGE != 0u || size > PT_LINK_FLASH_SECTOR - in_sector) {
        return PT_LINK_ERR_FLASH;
    }
    return pt_board_flash_write(offset, from, size) == 0 ? PT_LINK_OK : PT_LINK_ERR_FLASH;
}

static uint8_t poke(const struct pt_link *link, const uint8_t *payload, uint32_t length)
{
    struct pt_mailbox *mailbox = link->mailbox;
    const struct pt_window *window;
    uint64_t address;
    if (!link->greeted) {
        return PT_LINK_ERR_HELLO;
    }
    if (length <= ADDRESS_SIZE) {
        return PT_LINK_ERR_LENGTH;
    }
    memcpy(&address, payload, sizeof address);
    const uint8_t *from = payload + ADDRESS_SIZE;
    const uint32_t size = length - ADDRESS_SIZE;
    if (within_mailbox(mailbox, address, size)) {
        /* What the host writes lies together there. */
        _Static_assert(offsetof(struct pt_mailbox, argument) ==
                           offsetof(struct pt_mailbox, command) + sizeof mailbox->command,
                       "`argument` follows `command`");
        if (!within(address, size, (uintptr_t)&mailbox->command,
                    sizeof mailbox->command + sizeof mailbox->argument)) {
            return PT_LINK_ERR_READ_ONLY;
        }
    } else {
        window = find_window(mailbox, address, size);
        if (window == NULL) {
            return PT_LINK_ERR_WINDOW;
        }
        if (window->writable == 0u) {
            return PT_LINK_ERR_READ_ONLY;
        }
        if (window == &mailbox->window[PT_WINDOW_FLASH]) {
            return poke_flash((uint32_t)(address - window->address), from, size);
        }
    }
    memcpy((void *)(uintptr_t)address, from, size);
    return PT_LINK_OK;
}

static uint8_t check_restart(const struct pt_link *link, const uint8_t *payload,
                             uint32_t length, uint32_t *how)
{
    if (!link->greeted) {
        return PT_LINK_ERR_HELLO;
    }
    if (length != sizeof *how) {
        return PT_LINK_ERR_LENGTH;
    }
    memcpy(how, payload, sizeof *how);
    return *how <= PT_LINK_RESTART_FAULT ? PT_LINK_OK : PT_LINK_ERR_ARGUMENT;
}

static void restart(uint32_t how)
{
    switch (how) {
    case PT_LINK_RESTART_PROGRAM:
        pt_board_restart(PT_RESTART_PROGRAM);
        break;
    case PT_LINK_RESTART_BOOTSEL:
        pt_board_restart(PT_RESTART_BOOTSEL);
        break;
    default:
        for (volatile uint32_t turn = 0; turn < LINGER; ++turn) {
        }
        if (how == PT_LINK_RESTART_FAULT) {
            __builtin_trap();
        }
        for (;;) {
        }
    }
}

/* Carries out the request in `frame`, unless it was carried out already, and answers it. */
static void serve_request(struct pt_link *link, const struct pt_link_head *request, uint32_t crc)
{
    const uint8_t *payload = link->frame + sizeof *request;
    const bool repeated =
        link->greeted && link->sequence == request->sequence && link->crc == crc;
    struct pt_link_head head = *request;
    const void *found = payload;
    uint32_t size = 0;
    uint32_t how = 0;
    head.kind |= PT_LINK_ANSWER;
    switch (request->kind) {
    case PT_LINK_HELLO:
        head.error = request->length == 0u ? PT_LINK_OK : PT_LINK_ERR_LENGTH;
        found = link->hello;
        size = sizeof *link->hello;
        link->greeted = link->greeted || head.error == PT_LINK_OK;
        break;
    case PT_LINK_PEEK:
        head.error = peek(link, payload, request->length, &found, &size);
        break;
    case PT_LINK_POKE:
        head.error = repeated ? link->error : poke(link, payload, request->length);
        break;
    case PT_LINK_ECHO:
        size = request->length;
        break;
    case PT_LINK_RESTART:
        head.error = check_restart(link, payload, request->length, &how);
        break;
    default:
        head.error = PT_LINK_ERR_KIND;
        break;
    }
    head.length = head.error == PT_LINK_OK ? (uint16_t)size : 0u;
    link->sequence = request->sequence;
    link->crc = crc;
    link->error = head.error;
    send_answer(link->port, &head, found);
    if (request->kind == PT_LINK_RESTART && head.error == PT_LINK_OK) {
        restart(how);
    }
}

/* Serves the decoded frame, if it is a request from its first byte to its last. */
static bool serve_frame(struct pt_link *link)
{
    struct pt_link_head head;
    uint32_t crc;
    if (link->size < sizeof head + CRC_SIZE) {
        return false;
    }
    const uint32_t covered = link->size - CRC_SIZE;
    memcpy(&head, link->frame, sizeof head);
    memcpy(&crc, link->frame + covered, sizeof crc);
    if (head.length != covered - sizeof head || crc != pt_crc32(0, link->frame, covered)) {
        return false;
    }
    if ((head.kind & PT_LINK_ANSWER) != 0u || head.error != 0u || head.zero != 0u) {
        return false; /* an answer that comes back must not be answered */
    }
    serve_request(link, &head, crc);
    return true;
}

static void start_frame(struct pt_link *link)
{
    link->size = 0;
    link->block = 0;
    link->zero_follows = false;
    link->dropping = false;
}

static void store(struct pt_link *link, uint8_t byte)
{
    if (link->size == sizeof link->frame) {
        link->dropping = true;
    } else {
        link->frame[link->size++] = byte;
    }
}

/* One byte of a frame, not zero. */
static void decode(struct pt_link *link, uint8_t byte)
{
    if (link->dropping) {
        return;
    }
    if (link->block != 0u) {
        store(link, byte);
        --link->block;
        return;
    }
    if (link->zero_follows) {
        store(link, 0);
    }
    link->block = (uint8_t)(byte - 1u);
    link->zero_follows = byte != 255u;
}

void pt_link_start(struct pt_link *link, uint32_t port, struct pt_mailbox *mailbox,
                   const struct pt_link_hello *hello)
{
    memset(link, 0, sizeof *link);
    link->port = port;
    link->mailbox = mailbox;
    link->hello = hello;
}

void pt_link_serve(struct pt_link *link)
{
    uint8_t byte;
    for (uint32_t left = MOST_RECEIVED; left != 0u; --left) {
        /* One by one: what follows a request stays with the board until the next call. */
        if (pt_board_receive(link->port, &byte, 1) == 0u) {
            return;
        }
        if (byte != 0u) {
            decode(link, byte);
            continue;
        }
        const bool complete = !link->dropping && link->block == 0u;
        const bool served = complete && serve_frame(link);
        start_frame(link);
        if (served) {
            return;
        }
    }
}
