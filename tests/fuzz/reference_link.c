#include "reference_link.h"

#include <string.h>

enum { PAGE = 256, SECTOR = 4096, HEAD = 8, LEAST_CONTENT = 12 };

static uint64_t little(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    while (bytes-- != 0u) {
        value = value << 8 | at[bytes];
    }
    return value;
}

static void put_little(uint8_t *to, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; ++i) {
        to[i] = (uint8_t)(value >> 8u * i);
    }
}

/* The remainder of one byte, bit by bit. */
static uint32_t remainder_of(uint32_t byte)
{
    for (int bit = 0; bit < 8; ++bit) {
        byte = (byte & 1u) != 0u ? byte >> 1 ^ 0xedb88320u : byte >> 1;
    }
    return byte;
}

uint32_t reference_crc(const uint8_t *data, size_t size)
{
    static uint32_t remainders[256];
    uint32_t crc = 0xffffffffu;
    if (remainders[1] == 0u) {
        for (uint32_t byte = 0; byte < 256u; ++byte) {
            remainders[byte] = remainder_of(byte);
        }
    }
    for (size_t i = 0; i < size; ++i) {
        crc = crc >> 8 ^ remainders[(crc ^ data[i]) & 255u];
    }
    return crc ^ 0xffffffffu;
}

bool reference_same(const uint8_t *one, const uint8_t *other, size_t size)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < size; ++i) {
        differs |= one[i] ^ other[i];
    }
    return differs == 0u;
}

size_t reference_close(uint8_t *content, size_t size)
{
    put_little(content + size, 4, reference_crc(content, size));
    return size + 4u;
}

bool reference_decode(const uint8_t *wire, size_t size, uint8_t *content, size_t *content_size)
{
    size_t made = 0;
    size_t at = 0;
    while (at < size) {
        const size_t code = wire[at++];
        const size_t data = code - 1u;
        if (data > size - at) {
            return false;
        }
        memcpy(content + made, wire + at, data);
        made += data;
        at += data;
        if (code != 255u && at < size) {
            content[made++] = 0;
        }
    }
    *content_size = made;
    return true;
}

size_t reference_encode(const uint8_t *content, size_t size, uint8_t *wire)
{
    size_t made = 0;
    size_t at = 0;
    bool another = true;
    wire[made++] = 0;
    while (another) {
        size_t run = 0;
        while (at + run < size && content[at + run] != 0u && run < 254u) {
            ++run;
        }
        wire[made++] = (uint8_t)(run + 1u);
        memcpy(wire + made, content + at, run);
        made += run;
        at += run;
        if (run == 254u) {
            another = at < size; /* an empty last block behind a full one is left out */
        } else {
            another = at < size;
            ++at; /* the zero that is not sent */
        }
    }
    wire[made++] = 0;
    return made;
}

bool reference_parse(const uint8_t *wire, size_t size, struct reference_frame *frame)
{
    uint8_t content[2 * REFERENCE_WIRE];
    size_t made;
    /* COBS makes nothing much shorter, so what is longer than that is too long as content. */
    if (size > sizeof content || !reference_decode(wire, size, content, &made) ||
        made < LEAST_CONTENT || made > REFERENCE_CONTENT) {
        return false;
    }
    frame->kind = content[0];
    frame->error = content[1];
    frame->sequence = (uint16_t)little(content + 2, 2);
    frame->length = (uint16_t)little(content + 4, 2);
    frame->zero = (uint16_t)little(content + 6, 2);
    frame->crc = (uint32_t)little(content + made - 4u, 4);
    if (frame->length != made - LEAST_CONTENT || frame->zero != 0u ||
        frame->crc != reference_crc(content, made - 4u)) {
        return false;
    }
    memcpy(frame->payload, content + HEAD, frame->length);
    return true;
}

bool reference_is_request(const struct reference_frame *frame)
{
    return frame->kind < 0x80u && frame->error == 0u;
}

/* The mailbox or window that holds the range as a whole. */
static struct reference_region *region_of(struct reference *reference, uint64_t address,
                                          uint32_t size)
{
    for (uint32_t i = 0; i < reference->regions; ++i) {
        struct reference_region *region = &reference->region[i];
        if (address >= region->address && address - region->address < region->size &&
            size <= region->size - (address - region->address)) {
            return region;
        }
    }
    return NULL;
}

static bool write_flash(struct reference_region *region, uint32_t offset, const uint8_t *from,
                        uint32_t size)
{
    bool took = true;
    if (offset % SECTOR == 0u) {
        const uint32_t left = region->size - offset;
        memset(region->bytes + offset, 0xff, left < SECTOR ? left : SECTOR);
    }
    for (uint32_t i = 0; i < size; ++i) {
        region->bytes[offset + i] &= from[i];
        took = took && region->bytes[offset + i] == from[i];
    }
    return took;
}

/* A set of enum reference_error. */
static uint32_t peek(struct reference *reference, const struct reference_frame *request,
                     const uint8_t **found, uint32_t *size)
{
    uint32_t errors = 0;
    if (request->length != 16u) {
        return 1u << ERROR_LENGTH;
    }
    const uint64_t address = little(request->payload, 8);
    *size = (uint32_t)little(request->payload + 8, 4);
    if (little(request->payload + 12, 4) != 0u) {
        errors |= 1u << ERROR_ARGUMENT;
    }
    if (*size < 1u || *size > REFERENCE_PAYLOAD) {
        return errors | 1u << ERROR_LENGTH;
    }
    const struct reference_region *region = region_of(reference, address, *size);
    if (region == NULL) {
        return errors | 1u << ERROR_WINDOW;
    }
    *found = region->bytes + (address - region->address);
    return errors;
}

static uint32_t poke(struct reference *reference, const struct reference_frame *request)
{
    if (request->length < 9u) {
        return 1u << ERROR_LENGTH;
    }
    const uint64_t address = little(request->payload, 8);
    const uint8_t *from = request->payload + 8;
    const uint32_t size = request->length - 8u;
    struct reference_region *region = region_of(reference, address, size);
    if (region == NULL) {
        return 1u << ERROR_WINDOW;
    }
    const uint32_t offset = (uint32_t)(address - region->address);
    if (region->mailbox &&
        (offset < region->writable_from ||
         offset + size > region->writable_from + region->writable_size)) {
        return 1u << ERROR_READ_ONLY;
    }
    if (!region->writable) {
        return 1u << ERROR_READ_ONLY;
    }
    if (!region->flash) {
        memcpy(region->bytes + offset, from, size);
        return 0;
    }
    if (offset % PAGE != 0u || size % PAGE != 0u ||
        offset / SECTOR != (offset + size - 1u) / SECTOR ||
        !write_flash(region, offset, from, size)) {
        return 1u << ERROR_FLASH;
    }
    return 0;
}

static uint32_t restart_of(const struct reference_frame *request, enum reference_restart *restart)
{
    if (request->length != 4u) {
        return 1u << ERROR_LENGTH;
    }
    const uint64_t kind = little(request->payload, 4);
    if (kind > FAULT) {
        return 1u << ERROR_ARGUMENT;
    }
    *restart = (enum reference_restart)kind;
    return 0;
}

static uint8_t least_of(uint32_t errors)
{
    uint8_t error = 0;
    while (errors != 0u && (errors >> error & 1u) == 0u) {
        ++error;
    }
    return error;
}

size_t reference_answer(struct reference *reference, const struct reference_frame *request,
                        uint8_t *content, uint32_t *errors, enum reference_restart *restart)
{
    const bool again = reference->asked && reference->sequence == request->sequence &&
                       reference->crc == request->crc;
    const bool needs_hello =
        request->kind == PEEK || request->kind == POKE || request->kind == RESTART;
    const uint8_t *found = NULL;
    uint32_t size = 0;
    *errors = 0;
    *restart = NO_RESTART;
    if (needs_hello && !reference->greeted) {
        *errors = 1u << ERROR_HELLO;
    } else if (request->kind == HELLO) {
        *errors = request->length == 0u ? 0u : 1u << ERROR_LENGTH;
        found = reference->hello;
        size = sizeof reference->hello;
        /* "A refused request changes nothing" */
        reference->greeted = reference->greeted || *errors == 0u;
    } else if (request->kind == PEEK) {
        *errors = peek(reference, request, &found, &size);
    } else if (request->kind == POKE) {
        /* "answers again but does not write again" */
        *errors = again ? (reference->error == 0u ? 0u : 1u << reference->error)
                        : poke(reference, request);
    } else if (request->kind == ECHO) {
        found = request->payload;
        size = request->length;
    } else if (request->kind == RESTART) {
        *errors = restart_of(request, restart);
    } else {
        *errors = 1u << ERROR_KIND;
    }
    if (*errors != 0u || found == NULL) {
        size = 0;
    }
    reference->asked = true;
    reference->sequence = request->sequence;
    reference->crc = request->crc;
    reference->error = least_of(*errors);
    content[0] = request->kind | 0x80u;
    content[1] = reference->error;
    put_little(content + 2, 2, request->sequence);
    put_little(content + 4, 2, size);
    put_little(content + 6, 2, 0);
    if (size != 0u) {
        memcpy(content + HEAD, found, size);
    }
    return reference_close(content, HEAD + size);
}
