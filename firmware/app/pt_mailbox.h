/*
 * The device protocol (docs/device-protocol.md): one struct at a fixed address, written and read by
 * the harness over whatever reaches memory. This file is its only definition; the harness takes
 * symbol and field offsets from the ELF file and its DWARF.
 *
 * The harness fills `argument`, then `command`, and lets the device run until it is idle. The
 * device answers with `status`, and clears `command`.
 */
#ifndef PT_MAILBOX_H
#define PT_MAILBOX_H

#include <stdint.h>

#include "nn/pt_error.h"
#include "nn/pt_state.h"

enum pt_protocol {
    PT_MAILBOX_MAGIC = 0x424d5450, /* "PTMB" */
    PT_PROTOCOL_VERSION = 5,
};

enum pt_command {
    PT_CMD_NONE = 0,
    PT_CMD_INFO = 1,          /* refreshes `memory` */
    PT_CMD_RESET = 2,         /* forgets the model; the model and flash windows open */
    PT_CMD_LOAD_MODEL = 3,    /* (size, enum pt_place): validates the blob in that window */
    PT_CMD_SET_METHOD = 4,    /* (struct pt_method): plans, initialises; the io window opens */
    PT_CMD_SET_MU = 5,        /* (mu) */
    PT_CMD_TRAIN = 6,         /* (images): trains on the batch in the io window -> {correct, sum} */
    PT_CMD_EVALUATE = 7,      /* (images): predicts the batch in the io window -> {correct, sum} */
    PT_CMD_TRACE_BEGIN = 8,   /* starts a step with the batch of one in the io window */
    PT_CMD_TRACE_NEXT = 9,    /* (bare): runs the next operation -> struct pt_event; leaves the
                                 update's elements in the io window, rows as they fit; bare: none */
    PT_CMD_READ_TENSOR = 10,  /* (tensor, layer, offset, count): into the io window -> {size,
                                 sum} */
    PT_CMD_WRITE_TENSOR = 11, /* (tensor, layer, offset, count): weights or scores from there ->
                                 {size, sum} */
    PT_CMD_CHECKPOINT = 12,   /* struct pt_checkpoint and state into the io window -> {size} */
    PT_CMD_RESTORE = 13,      /* (size): takes both back */
    PT_CMD_CLEAR_SATURATION = 14,
    PT_CMD_BENCH = 15,        /* (dry): runs the struct pt_bench_job at the start of the model
                                 window, before a model is there; dry: only checks -> {answer} */
    PT_CMD_SET_SELECTION = 16, /* (size): the bits in the io window say which rows learn, 0: all;
                                 ends a method that this changes */
    PT_CMD_SELECT = 17,       /* (struct pt_solver_job): under fisher, selects rows -> struct
                                 pt_solution */
    PT_CMD_MAKE_HEAD = 18,    /* under prototype, makes the last layer; ends the method */
    PT_CMD_CHECK = 19,        /* whether all that must not change is as it was (pt_app_guard.h) ->
                                 struct pt_image */
    PT_CMD_SET_PLAN = 20,     /* (fused, 0 or 1): pt_trainer_fuse, for the next SET_METHOD */
    PT_COMMANDS
};

/* Where LOAD_MODEL finds the blob: weights in flash are used there and cannot be trained. */
enum pt_place { PT_PLACE_ARENA = 0, PT_PLACE_FLASH = 1, PT_PLACES };

enum pt_status { PT_STATUS_IDLE = 0, PT_STATUS_BUSY = 1, PT_STATUS_DONE = 2, PT_STATUS_ERROR = 3 };

/*
 * A batch of n images in the io window: n images uint8, n labels uint8, padding to 4, then n struct
 * pt_result that the device writes. `sum` is the pt_sum of all of it, or of the bytes of a tensor
 * in the window, after the command: whoever wrote or read them knows by it that they are the same.
 */

/* Memory that the harness may touch. Size 0: closed in this state. */
struct pt_window {
    uintptr_t address;
    uint32_t size;
    uint32_t writable;
};

enum pt_window_name {
    PT_WINDOW_MODEL = 0,
    PT_WINDOW_IO = 1,
    PT_WINDOW_PLAN = 2,       /* struct pt_plan */
    PT_WINDOW_SATURATION = 3, /* struct pt_saturation [layers] */
    PT_WINDOW_FLASH = 4,      /* for a blob that stays in flash; open when MODEL is */
    PT_WINDOW_FAULT = 5,      /* struct pt_fault: what the last fault left; not on every board */
    PT_WINDOWS
};

/* Where the RAM goes, in bytes. */
struct pt_memory {
    uint32_t arena;
    uint32_t code;
    uint32_t statics;
    uint32_t stack_reserved;
    uint32_t stack_used;
    uint32_t blob; /* weights and the description of the network */
    uint32_t weights;
    uint32_t scores; /* with their index */
    uint32_t activations;
    uint32_t transient; /* activations, errors and scratch, overlapped */
    uint32_t io_minimum; /* a batch of one */
    uint32_t blob_in_flash; /* no RAM: 0 unless the blob was loaded there, `blob` is 0 then */
};

struct pt_mailbox {
    uint32_t magic;
    uint32_t version;
    uint32_t size; /* of this struct */
    volatile uint32_t command; /* enum pt_command */
    uint32_t argument[8];
    volatile uint32_t status; /* enum pt_status */
    int32_t error;            /* enum pt_error */
    struct pt_detail detail;
    uint32_t response[8];
    uint64_t cycles; /* that the last command took, by the board's clock; 0: it cannot tell */
    struct pt_memory memory;
    struct pt_window window[PT_WINDOWS];
};

#endif
