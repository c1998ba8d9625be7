/*
 * A second device's side of the serial link, written from docs/serial-link.md alone: it shares no
 * line with pt_link.c, takes no care of memory or time, and keeps its own copy of what is poked.
 */
#ifndef FUZZ_REFERENCE_LINK_H
#define FUZZ_REFERENCE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REFERENCE_PAYLOAD = 1032,
    REFERENCE_CONTENT = 8 + REFERENCE_PAYLOAD + 4,
    REFERENCE_WIRE = 1051,
    REFERENCE_REGIONS = 8,
};

enum reference_kind { HELLO = 1, PEEK = 2, POKE = 3, ECHO = 4, RESTART = 5 };

enum reference_error {
    NO_ERROR = 0,
    ERROR_KIND = 1,
    ERROR_LENGTH = 2,
    ERROR_WINDOW = 3,
    ERROR_READ_ONLY = 4,
    ERROR_FLASH = 5,
    ERROR_ARGUMENT = 6,
    ERROR_HELLO = 7,
};

enum reference_restart { PROGRAM = 0, BOOTSEL = 1, HANG = 2, FAULT = 3, NO_RESTART = 4 };

/* Between two zeros of the wire. */
struct reference_frame {
    uint8_t kind;
    uint8_t error;
    uint16_t sequence;
    uint16_t length;
    uint16_t zero;
    uint32_t crc;
    uint8_t payload[REFERENCE_PAYLOAD];
};

/* The mailbox, what may be written of it, or an open window. */
struct reference_region {
    uint64_t address;
    uint32_t size;
    bool mailbox;
    bool writable;
    bool flash;
    uint32_t writable_from; /* of the mailbox */
    uint32_t writable_size;
    uint8_t *bytes; /* what it should hold */
};

struct reference {
    struct reference_region region[REFERENCE_REGIONS];
    uint32_t regions;
    uint8_t hello[48];
    bool greeted;
    bool asked; /* the last request, and what came of it */
    uint16_t sequence;
    uint32_t crc;
    uint8_t error;
};

/* COBS backwards; false where the blocks do not end with the bytes. `content` has room for `size`
 * bytes. */
bool reference_decode(const uint8_t *wire, size_t size, uint8_t *content, size_t *content_size);

/* 00 COBS 00 of the content; the bytes written. */
size_t reference_encode(const uint8_t *content, size_t size, uint8_t *wire);

/* Whether the bytes between two zeros are a frame, of either direction. */
bool reference_parse(const uint8_t *wire, size_t size, struct reference_frame *frame);

/* Whether a device takes it for a request. */
bool reference_is_request(const struct reference_frame *frame);

/* What a request with this CRC is answered with, head to CRC; the bytes written. Where more than
 * one error is right, `*errors` has a bit for each and the answer an empty payload. */
size_t reference_answer(struct reference *reference, const struct reference_frame *request,
                        uint8_t *content, uint32_t *errors, enum reference_restart *restart);

/* The CRC-32 of the page. */
uint32_t reference_crc(const uint8_t *data, size_t size);

/* As memcmp, of which a sanitizer looks at each byte. */
bool reference_same(const uint8_t *one, const uint8_t *other, size_t size);

/* Puts the four bytes of the CRC behind the content; its size with them. */
size_t reference_close(uint8_t *content, size_t size);

#endif
