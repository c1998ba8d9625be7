/*
 * The second MiB of a Pico's flash, as `picotrain flash-model` fills it and the standalone
 * application reads it:
 *
 *   page 0    struct pt_window_header
 *   page 1..  the model (nn/pt_model.h)
 *   the last PT_WINDOW_RING_SECTORS sectors: what it learned (nn/pt_store.h)
 */
#ifndef PT_WINDOW_H
#define PT_WINDOW_H

#include <stdint.h>

#include "nn/pt_method.h"

enum pt_window_format {
    PT_WINDOW_MAGIC = 0x41535450, /* "PTSA" */
    PT_WINDOW_VERSION = 1,
    PT_WINDOW_SIZE = 1 << 20,
    PT_WINDOW_PAGE = 256,
    PT_WINDOW_SECTOR = 4096,
    PT_WINDOW_MODEL_AT = 256, /* offset of the model */
    PT_WINDOW_RING_SECTORS = 64,
    PT_WINDOW_RING = PT_WINDOW_SIZE - PT_WINDOW_RING_SECTORS * PT_WINDOW_SECTOR,
    PT_WINDOW_NAME = 40,
};

/* Fields that follow `version` are of this version alone. */
struct pt_window_header {
    uint32_t magic;
    uint32_t version;
    uint32_t model_size;     /* bytes, at most PT_WINDOW_RING - PT_WINDOW_MODEL_AT */
    struct pt_method method; /* how it learns; `easy` is the loss norm that teaches nothing */
    uint32_t save_every;     /* images learned from one save to the next; 0: on command alone */
    char name[PT_WINDOW_NAME]; /* of the network, zero-terminated */
    uint32_t crc32;          /* of all before it */
};

#endif
