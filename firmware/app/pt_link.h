/*
 * The serial link: the mailbox and its windows over a byte stream (docs/serial-link.md).
 *
 * A frame on the wire is a zero byte, COBS (no zero inside), a zero byte. What COBS holds, in
 * little-endian words: struct pt_link_head, `length` bytes of payload, the CRC-32 of all before.
 * Whatever is not exactly that is dropped without an answer, so any garbage costs the frame that it
 * hits and no other. The host sends a request again, with the same sequence number, until its
 * answer arrives; a request that was carried out already is answered again, not done again. The
 * first request is HELLO: without it nothing that touches memory is done, so no host overlooks that
 * the device started anew, and no request is carried out once before and once after that.
 *
 * One struct pt_link for each port, so that the host may come over the UART or over USB.
 */
#ifndef PT_LINK_H
#define PT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "app/pt_mailbox.h"

enum pt_link_protocol {
    PT_LINK_MAGIC = 0x4b4c5450, /* "PTLK" */
    PT_LINK_VERSION = 1,
    PT_LINK_PAYLOAD = 1032,     /* most bytes of a payload: an address and 1024 of data */
    PT_LINK_ANSWER = 0x80,      /* in the `kind` of an answer */
};

enum pt_link_kind {
    PT_LINK_HELLO = 1,   /* () -> struct pt_link_hello */
    PT_LINK_PEEK = 2,    /* (struct pt_link_span) -> its bytes: of the mailbox or one open window */
    PT_LINK_POKE = 3,    /* (uint64_t address, bytes): into one writable window, or `command` and
                            `argument` of the mailbox; flash as pt_board_flash_write takes it */
    PT_LINK_ECHO = 4,    /* (bytes) -> the same bytes */
    PT_LINK_RESTART = 5, /* (uint32_t enum pt_link_restart): the answer comes first */
};

enum pt_link_restart {
    PT_LINK_RESTART_PROGRAM = 0,
    PT_LINK_RESTART_BOOTSEL = 1,
    PT_LINK_RESTART_HANG = 2,  /* self-test: loops until the watchdog bites */
    PT_LINK_RESTART_FAULT = 3, /* self-test: faults */
};

/* How a POKE into the flash window is cut: pages, whole ones, within one sector. */
enum pt_link_flash { PT_LINK_FLASH_PAGE = 256, PT_LINK_FLASH_SECTOR = 4096 };

enum pt_link_error {
    PT_LINK_OK = 0,
    PT_LINK_ERR_KIND = 1,      /* no such request */
    PT_LINK_ERR_LENGTH = 2,    /* the payload does not suit the request, or asks for no bytes */
    PT_LINK_ERR_WINDOW = 3,    /* not within the mailbox or one open window */
    PT_LINK_ERR_READ_ONLY = 4, /* may be read, not written */
    PT_LINK_ERR_FLASH = 5,     /* the flash did not take what was written, or is not aligned so */
    PT_LINK_ERR_ARGUMENT = 6,  /* a restart of no known kind, or `zero` is not 0 */
    PT_LINK_ERR_HELLO = 7,     /* PEEK, POKE and RESTART: no HELLO since the device started */
};

struct pt_link_head {
    uint8_t kind;
    uint8_t error; /* enum pt_link_error in an answer, 0 in a request */
    uint16_t sequence;
    uint16_t length; /* of the payload */
    uint16_t zero;
};

struct pt_link_span {
    uint64_t address; /* 64 bits, because a host process is a device too */
    uint32_t size;
    uint32_t zero;
};

enum pt_reset_reason {
    PT_RESET_POWER = 0,    /* power, or the RUN pin */
    PT_RESET_REQUEST = 1,  /* PT_LINK_RESTART_PROGRAM, or another request of software or debugger */
    PT_RESET_WATCHDOG = 2, /* the program made no progress */
    PT_RESET_FAULT = 3,    /* the window PT_WINDOW_FAULT says more */
};

struct pt_link_hello {
    uint32_t magic;
    uint32_t version;
    uint64_t mailbox; /* its address */
    uint32_t payload; /* most bytes of a payload */
    uint32_t clock_hz;    /* 0: not clocked, as a host process */
    uint32_t boot_cycles; /* from the first instruction of the program to its first idle */
    uint32_t reset;       /* enum pt_reset_reason */
    uint8_t build[8];     /* the first bytes of the build id that the ELF file holds */
    uint8_t chip[8];      /* unique number of the flash chip; zeros: unknown */
};

enum { PT_LINK_FRAME = sizeof(struct pt_link_head) + PT_LINK_PAYLOAD + 4 };

struct pt_link {
    uint32_t port;
    struct pt_mailbox *mailbox;
    const struct pt_link_hello *hello;
    uint32_t size;     /* decoded bytes in `frame` */
    uint8_t block;     /* bytes left of the COBS block */
    bool zero_follows; /* a zero stands between this block and the next */
    bool dropping;     /* until the next zero byte: the frame is too long */
    bool greeted;      /* a HELLO came since the start */
    uint16_t sequence; /* of the last request, and what became of it */
    uint32_t crc;
    uint8_t error;
    _Alignas(8) uint8_t frame[PT_LINK_FRAME];
};

/* `hello` and `mailbox` must stay where they are. */
void pt_link_start(struct pt_link *link, uint32_t port, struct pt_mailbox *mailbox,
                   const struct pt_link_hello *hello);

/*
 * Takes what has arrived at the port, up to the end of one request, and answers that. Returns when
 * nothing is left, and after some thousand bytes of garbage. Call pt_app_serve after it: a request
 * may have posted a command. The answer is made on the stack, which takes about 600 bytes.
 */
void pt_link_serve(struct pt_link *link);

#endif
