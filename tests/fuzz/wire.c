#include "wire.h"

#include <string.h>

enum item {
    RAW,       /* size, bytes */
    GREETING,  /* size of a payload that it should not have, mostly 0 */
    LOOK,      /* place, size, the word that should be 0 */
    WRITE,     /* place, size (in flash of whole pages), bytes */
    FILL,      /* place, size, seed of bytes */
    BACK,      /* size, seed */
    START,     /* kind */
    ANY,       /* kind, error, zero, what the length is wrong by, size, bytes */
    AGAIN,     /* the last frame */
    DAMAGED,   /* the last frame, place, what is flipped */
    CUT,       /* the last frame, bytes of it */
    ITEMS
};

enum { HEAD_SIZE = 8, ADDRESS = 8, PAGE_SIZE = 256, MOST = REFERENCE_CONTENT + 200 };

struct maker {
    struct wire *wire;
    struct fuzz_input *program;
    const struct reference *reference;
    uint16_t sequence;
    uint8_t content[MOST];
    uint8_t frame[MOST + MOST / 200];
    size_t frame_size;
};

static void put(struct wire *wire, const uint8_t *from, size_t size)
{
    if (size <= sizeof wire->bytes - wire->size) {
        memcpy(wire->bytes + wire->size, from, size);
        wire->size += size;
    }
}

static void put_word(uint8_t *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; ++i) {
        to[i] = (uint8_t)(value >> 8u * i);
    }
}

/* A frame of what stands behind the head; every fourth keeps the sequence of the one before. */
static void finish(struct maker *maker, uint8_t kind, uint8_t error, uint16_t zero, size_t payload,
                   size_t length)
{
    uint8_t *content = maker->content;
    content[0] = kind;
    content[1] = error;
    put_word(content + 2, maker->sequence, 2);
    put_word(content + 4, length, 2);
    put_word(content + 6, zero, 2);
    maker->frame_size =
        reference_encode(content, reference_close(content, HEAD_SIZE + payload), maker->frame);
    put(maker->wire, maker->frame, maker->frame_size);
}

static void request(struct maker *maker, enum reference_kind kind, size_t payload)
{
    finish(maker, (uint8_t)kind, 0, 0, payload, payload);
}

/* Into a region, or, every eighth time, anywhere at all. */
static const struct reference_region *place(struct maker *maker)
{
    uint8_t *payload = maker->content + HEAD_SIZE;
    const uint8_t which = fuzz_u8(maker->program);
    const struct reference *reference = maker->reference;
    const struct reference_region *region = &reference->region[which % reference->regions];
    uint64_t address = region->address;
    if (which / 32u == 7u) {
        address += (uint64_t)fuzz_u32(maker->program) << 8u * (which % 5u);
    } else if (region->flash) {
        address += fuzz_u8(maker->program) * (uint64_t)(PAGE_SIZE >> which / 32u % 3u);
    } else {
        address += fuzz_u16(maker->program) % (region->size + 9u) - 4u;
    }
    put_word(payload, address, ADDRESS);
    return region;
}

static void make_write(struct maker *maker, bool fill)
{
    uint8_t *to = maker->content + HEAD_SIZE + ADDRESS;
    const struct reference_region *region = place(maker);
    const uint8_t size = fuzz_u8(maker->program);
    size_t bytes = region->flash && fill ? size % 5u * (size_t)PAGE_SIZE : size;
    if (fill) {
        bytes = region->flash ? bytes : 4u * (size_t)size + 8u;
        bytes = bytes <= REFERENCE_PAYLOAD ? bytes : REFERENCE_PAYLOAD;
        fuzz_fill(to, bytes, fuzz_u8(maker->program));
    } else {
        const uint8_t *from = fuzz_bytes(maker->program, &bytes);
        memcpy(to, from, bytes);
    }
    request(maker, POKE, ADDRESS + bytes);
}

static void make_any(struct maker *maker)
{
    const uint8_t kind = fuzz_u8(maker->program);
    const uint8_t error = fuzz_u8(maker->program);
    const uint16_t zero = fuzz_u8(maker->program) % 3u == 1u ? fuzz_u16(maker->program) : 0u;
    const int8_t wrong = (int8_t)fuzz_u8(maker->program);
    size_t size = fuzz_u8(maker->program);
    const uint8_t *from = fuzz_bytes(maker->program, &size);
    memcpy(maker->content + HEAD_SIZE, from, size);
    finish(maker, kind, error % 4u == 1u ? error : 0u, zero, size,
           size + (size_t)(wrong % 4 == 1 ? wrong : 0));
}

static void make_item(struct maker *maker, enum item item)
{
    struct fuzz_input *program = maker->program;
    uint8_t *payload = maker->content + HEAD_SIZE;
    size_t size;
    switch (item) {
    case RAW:
        size = fuzz_u8(program);
        const uint8_t *bytes = fuzz_bytes(program, &size);
        put(maker->wire, bytes, size);
        return;
    case GREETING:
        size = fuzz_u8(program) / 64u;
        memset(payload, 1, size);
        request(maker, HELLO, size);
        return;
    case LOOK:
        (void)place(maker);
        put_word(payload + ADDRESS, fuzz_u16(program) % (REFERENCE_PAYLOAD + 3u), 4);
        put_word(payload + ADDRESS + 4u, fuzz_u8(program) / 128u, 4);
        request(maker, PEEK, ADDRESS + 8u);
        return;
    case WRITE:
    case FILL:
        make_write(maker, item == FILL);
        return;
    case BACK:
        size = fuzz_u16(program) % (REFERENCE_PAYLOAD + 3u);
        fuzz_fill(payload, size, fuzz_u8(program));
        request(maker, ECHO, size);
        return;
    case START:
        put_word(payload, fuzz_u8(program) % 6u, 4);
        request(maker, RESTART, 4);
        return;
    case ANY:
        make_any(maker);
        return;
    case AGAIN:
        put(maker->wire, maker->frame, maker->frame_size);
        return;
    case DAMAGED:
        if (maker->frame_size != 0u) {
            size = fuzz_u16(program) % maker->frame_size;
            maker->frame[size] ^= (uint8_t)(1u + fuzz_u8(program) % 255u);
            put(maker->wire, maker->frame, maker->frame_size);
        }
        return;
    default:
        size = fuzz_u16(program);
        put(maker->wire, maker->frame, maker->frame_size == 0u ? 0u : size % maker->frame_size);
        return;
    }
}

void wire_make(struct wire *wire, struct fuzz_input *program, const struct reference *reference)
{
    static struct maker maker;
    maker.wire = wire;
    maker.program = program;
    maker.reference = reference;
    maker.sequence = 0;
    maker.frame_size = 0;
    wire->size = 0;
    while (program->left != 0u) {
        const uint8_t word = fuzz_u8(program);
        if (word < 192u) {
            ++maker.sequence;
        }
        make_item(&maker, (enum item)(word % ITEMS));
    }
}
