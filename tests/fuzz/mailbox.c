/*
 * Programs of commands on the whole application: any command with any arguments, and what lies in
 * its windows, as a harness would write it and as none would.
 *
 *   arena in units of 64 bytes, program: items, each with what belongs to it
 *
 * Held: after each command the mailbox is as its page says; open windows lie in memory that is
 * there; a refused command leaves what was learned, and the state, but for those of which the page
 * says otherwise; what CHECKPOINT gave RESTORE takes back. Kernels alone (BENCH) run on operands
 * that hold what their headers ask for.
 */
#include <stdlib.h>
#include <string.h>

#include "app/pt_app.h"
#include "app/pt_bench.h"
#include "app/pt_board.h"
#include "input.h"
#include "networks.h"
#include "nn/pt_crc32.h"
#include "nn/pt_state.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum item {
    COMMAND,     /* command, how many arguments, each one's form and bytes */
    WINDOW,      /* window, offset, size, bytes */
    SEAL,        /* window: a good header and CRC for what was written there last */
    LOAD,        /* place: LOAD_MODEL of what was written last, sealed */
    METHOD,      /* kind, mu, threshold, permille, choices, seed, easy */
    BATCH,       /* images, seed, whether to train: a good batch */
    TRACE,       /* seed, bare: a step in pieces */
    KEEP,        /* CHECKPOINT, and RESTORE of it */
    SEAL_STATE,  /* a good CRC for the checkpoint in IO */
    JOB,         /* mode, job with small numbers: BENCH */
    SELECTION,   /* seed: bits for about half of the rows */
    ITEMS
};

enum { MOST_ARENA = 64 * 256, FLASH_SIZE = 2048, FAULT_SIZE = 36, MOST_COMMANDS = 96 };

static const uint64_t MOST_WORK = 1u << 19;

static struct {
    struct pt_mailbox mailbox;
    struct pt_app app;
    struct pt_board_memory memory;
    uint8_t fault[FAULT_SIZE];
    uint32_t written; /* bytes, by the last WINDOW */
    uint32_t place;   /* of it: enum pt_place */
    uint32_t commands;
    uint64_t cycles;
    uint8_t flash[FLASH_SIZE]; /* as the harness wrote it */
    uint8_t kept[MOST_ARENA];  /* as it was before a command */
    uint32_t kept_size;
} here;

uint32_t pt_board_stack_used(void)
{
    return 17;
}

struct pt_board_code pt_board_code(void)
{
    return (struct pt_board_code){0};
}

void pt_board_alive(void)
{
}

uint64_t pt_board_cycles(void)
{
    here.cycles += 3;
    return here.cycles;
}

static struct pt_window window(uint32_t name)
{
    return here.mailbox.window[name];
}

static uint8_t *bytes_of(struct pt_window of)
{
    return (uint8_t *)of.address;
}

static bool inside(struct pt_window of, const void *memory, size_t size)
{
    return of.address >= (uintptr_t)memory && of.size <= size &&
           of.address - (uintptr_t)memory <= size - of.size;
}

static void check_windows(void)
{
    const struct pt_board_memory *memory = &here.memory;
    const struct pt_trainer *t = &here.app.trainer;
    const bool empty = t->state == PT_STATE_EMPTY;
    const bool ready = t->state == PT_STATE_READY;
    fuzz_require(t->state <= PT_STATE_READY, "a state is one");
    fuzz_require(window(PT_WINDOW_MODEL).size == (empty ? memory->arena_size : 0u) &&
                     window(PT_WINDOW_FLASH).size == (empty ? FLASH_SIZE : 0u),
                 "the windows of models are open before one is loaded");
    fuzz_require(window(PT_WINDOW_FAULT).size == FAULT_SIZE, "the fault can always be read");
    fuzz_require((window(PT_WINDOW_PLAN).size != 0u) == ready &&
                     (window(PT_WINDOW_SATURATION).size != 0u) == ready,
                 "plan and saturation are open once a method is set");
    fuzz_require(inside(window(PT_WINDOW_IO), memory->arena, memory->arena_size) || !ready,
                 "the io window lies in the arena");
    fuzz_require(window(PT_WINDOW_IO).size >= (ready ? t->plan.io_minimum : 0u),
                 "the io window holds a batch of one");
}

/* Model and what learns: all that a refused command must leave. */
static uint32_t kept_size(void)
{
    const struct pt_trainer *t = &here.app.trainer;
    return t->state == PT_STATE_READY ? t->plan.blob_size + t->plan.scores_size : 0u;
}

static void remember(void)
{
    here.kept_size = kept_size();
    memcpy(here.kept, here.memory.arena, here.kept_size);
}

static bool as_remembered(void)
{
    return kept_size() == here.kept_size &&
           memcmp(here.kept, here.memory.arena, here.kept_size) == 0;
}

/* Images of a batch are many, and a pass of a network long: both are bounded, not the commands. */
static bool takes_too_long(uint32_t command)
{
    const struct pt_trainer *t = &here.app.trainer;
    const uint32_t images = here.mailbox.argument[0];
    if (t->state != PT_STATE_READY) {
        return false;
    }
    const uint64_t work = fuzz_work(&t->model);
    const bool batch = command == PT_CMD_TRAIN || command == PT_CMD_EVALUATE;
    return work > MOST_WORK ||
           (batch && images <= window(PT_WINDOW_IO).size && work * images > MOST_WORK);
}

/* Refused, these still end a method, a model or a step in work. */
static bool may_change(uint32_t command)
{
    return command == PT_CMD_SET_METHOD || command == PT_CMD_LOAD_MODEL;
}

/* Reads nothing behind the blob, as on the board "host". */
static void poison(bool on)
{
    const struct pt_board_memory *memory = &here.memory;
    const uint32_t size = here.mailbox.argument[0];
    const bool frozen = here.mailbox.argument[1] == PT_PLACE_FLASH;
    const uint8_t *at = frozen ? memory->flash : memory->arena;
    const uint32_t room = frozen ? FLASH_SIZE : memory->arena_size;
    if (!on) {
        ASAN_UNPOISON_MEMORY_REGION(memory->arena, memory->arena_size);
        ASAN_UNPOISON_MEMORY_REGION(memory->flash, FLASH_SIZE);
    } else if (here.mailbox.command == PT_CMD_LOAD_MODEL && size < room &&
               here.app.trainer.state == PT_STATE_EMPTY) {
        ASAN_POISON_MEMORY_REGION(at + size, room - size);
    }
}

static void post(uint32_t command)
{
    struct pt_mailbox *mailbox = &here.mailbox;
    const uint32_t state = here.app.trainer.state;
    if (takes_too_long(command) || ++here.commands > MOST_COMMANDS) {
        return;
    }
    remember();
    mailbox->command = command;
    poison(true);
    pt_app_serve(&here.app);
    poison(false);
    fuzz_require(mailbox->command == PT_CMD_NONE, "a command that was served is gone");
    fuzz_require(mailbox->magic == PT_MAILBOX_MAGIC && mailbox->size == sizeof *mailbox &&
                     mailbox->version == PT_PROTOCOL_VERSION,
                 "the mailbox stays one");
    check_windows();
    fuzz_require(memcmp(here.memory.flash, here.flash, FLASH_SIZE) == 0, "flash is never written");
    if (command == PT_CMD_NONE) {
        return;
    }
    fuzz_require(mailbox->status == (mailbox->error == PT_OK ? PT_STATUS_DONE : PT_STATUS_ERROR),
                 "a command is done or refused");
    fuzz_require(mailbox->error <= PT_OK && mailbox->error >= PT_ERR_STORE_DAMAGED,
                 "a refusal has a name");
    fuzz_require(mailbox->cycles == 3u, "a command's cycles are those of the board");
    if (mailbox->error != PT_OK && !may_change(command)) {
        fuzz_require(here.app.trainer.state == state && as_remembered(),
                     "a refused command changes nothing");
    }
    fuzz_require(mailbox->error == PT_OK || command != PT_CMD_RESET, "a reset is never refused");
}

static void set_arguments(uint32_t first, uint32_t second)
{
    memset(here.mailbox.argument, 0, sizeof here.mailbox.argument);
    here.mailbox.argument[0] = first;
    here.mailbox.argument[1] = second;
}

static void any_command(struct fuzz_input *program)
{
    const uint8_t word = fuzz_u8(program);
    const uint32_t command = word < 250u ? word % (PT_COMMANDS + 1u) : word * 0x01010101u;
    const uint32_t arguments = fuzz_u8(program) % 9u;
    set_arguments(0, 0);
    for (uint32_t i = 0; i < arguments; ++i) {
        uint32_t *argument = &here.mailbox.argument[i];
        const uint8_t form = fuzz_u8(program);
        *argument = form % 4u == 0u   ? fuzz_u8(program)
                    : form % 4u == 1u ? fuzz_u16(program)
                    : form % 4u == 2u ? fuzz_u32(program)
                                      : here.written - form / 64u;
    }
    if (command != PT_CMD_BENCH || here.mailbox.argument[0] != PT_BENCH_RUN) {
        post(command);
    }
}

static void write_window(struct fuzz_input *program)
{
    const uint8_t name = fuzz_u8(program);
    const uint32_t offset = fuzz_u16(program);
    size_t size = fuzz_u16(program);
    const struct pt_window to = window(name % PT_WINDOWS);
    const uint8_t *from = fuzz_bytes(program, &size);
    if (to.writable != 0u && offset <= to.size && size <= to.size - offset && size != 0u) {
        memcpy(bytes_of(to) + offset, from, size);
        here.written = (uint32_t)(offset + size);
        memcpy(here.flash, here.memory.flash, FLASH_SIZE);
        here.place = name % PT_WINDOWS == PT_WINDOW_FLASH ? PT_PLACE_FLASH : PT_PLACE_ARENA;
    }
}

static void seal(void)
{
    const struct pt_window to =
        window(here.place == PT_PLACE_FLASH ? PT_WINDOW_FLASH : PT_WINDOW_MODEL);
    if (to.writable != 0u && here.written <= to.size) {
        fuzz_seal(bytes_of(to), here.written);
        memcpy(here.flash, here.memory.flash, FLASH_SIZE);
    }
}

static void load(struct fuzz_input *program)
{
    const uint8_t place = fuzz_u8(program);
    seal();
    set_arguments(here.written, place % 16u == 15u ? PT_PLACES : here.place);
    post(PT_CMD_LOAD_MODEL);
}

static void set_method(struct fuzz_input *program)
{
    struct pt_method method;
    method.kind = fuzz_u8(program) % (PT_METHOD_KINDS + 1u);
    method.mu = (int8_t)fuzz_u8(program) % 12;
    method.threshold = (int8_t)fuzz_u8(program);
    method.permille = fuzz_u8(program) * 4u;
    const uint8_t choices = fuzz_u8(program);
    method.selection = choices % 3u;
    method.start = choices / 3u % 3u;
    method.seed = fuzz_u8(program);
    method.easy = fuzz_u8(program) / 16u;
    memcpy(here.mailbox.argument, &method, sizeof method);
    post(PT_CMD_SET_METHOD);
}

/* Images that look drawn, with labels that are classes. */
static bool put_batch(uint32_t images, uint32_t seed)
{
    const struct pt_trainer *t = &here.app.trainer;
    const struct pt_window to = window(PT_WINDOW_IO);
    if (t->state != PT_STATE_READY || pt_batch_size(t->plan.image_size, images) > to.size) {
        return false;
    }
    uint8_t *label = bytes_of(to) + images * t->plan.image_size;
    fuzz_fill(bytes_of(to), images * t->plan.image_size, seed);
    for (uint32_t i = 0; i < images; ++i) {
        label[i] = (uint8_t)((seed + i) % t->model.header->classes);
    }
    return true;
}

static void run_batch(struct fuzz_input *program)
{
    const uint32_t images = 1u + fuzz_u8(program) % 4u;
    const uint8_t seed = fuzz_u8(program);
    if (put_batch(images, seed)) {
        set_arguments(images, 0);
        post(seed % 4u == 0u ? PT_CMD_EVALUATE : PT_CMD_TRAIN);
    }
}

static void trace(struct fuzz_input *program)
{
    const uint8_t seed = fuzz_u8(program);
    const uint32_t bare = seed / 128u;
    if (!put_batch(1, seed)) {
        return;
    }
    set_arguments(0, 0);
    post(PT_CMD_TRACE_BEGIN);
    for (uint32_t most = seed % 64u; most != 0u; --most) {
        set_arguments(bare, 0);
        post(PT_CMD_TRACE_NEXT);
        if (here.mailbox.error != PT_OK || here.mailbox.response[0] == PT_DONE) {
            return;
        }
    }
}

static void keep(void)
{
    struct pt_mailbox *mailbox = &here.mailbox;
    struct pt_detail detail;
    set_arguments(0, 0);
    post(PT_CMD_CHECKPOINT);
    if (mailbox->error != PT_OK || here.app.trainer.state != PT_STATE_READY ||
        here.commands >= MOST_COMMANDS) {
        return;
    }
    set_arguments(mailbox->response[0], 0);
    const int writable = pt_state_writable(&here.app.trainer, &detail);
    /* A weight of -128 an affine network may have, and cannot be given. */
    post(PT_CMD_RESTORE);
    fuzz_require(mailbox->error == PT_OK || mailbox->error == writable ||
                     (mailbox->error == PT_ERR_CHECKPOINT &&
                      mailbox->detail.value[0] == PT_CHECKPOINT_OF_VALUES),
                 "a checkpoint is taken back");
    fuzz_require(as_remembered(), "a checkpoint that is taken back changes nothing");
}

static void seal_state(void)
{
    const struct pt_window io = window(PT_WINDOW_IO);
    struct pt_checkpoint head;
    if (io.size >= sizeof head) {
        memcpy(&head, bytes_of(io), sizeof head);
        const uint32_t room = io.size - (uint32_t)sizeof head;
        const uint32_t size = head.state_size < room ? head.state_size : room;
        head.state_crc = pt_crc32(0, bytes_of(io) + sizeof head, size);
        memcpy(bytes_of(io), &head, sizeof head);
        set_arguments((uint32_t)sizeof head + size, 0);
        post(PT_CMD_RESTORE);
    }
}

static void select_rows(struct fuzz_input *program)
{
    const uint8_t seed = fuzz_u8(program);
    const struct pt_window io = window(PT_WINDOW_IO);
    uint32_t size = 0;
    if (here.app.trainer.state == PT_STATE_READY &&
        pt_selection_size(&here.app.trainer.model, &size, NULL) == PT_OK && size <= io.size) {
        const struct pt_model *model = &here.app.trainer.model;
        uint8_t *bits = bytes_of(io);
        for (uint32_t l = 0; l < model->header->layers; ++l) {
            const uint32_t rows = pt_layer_rows(&model->layer[l]);
            memset(bits, 0, pt_selection_layer_size(&model->layer[l]));
            for (uint32_t row = 0; row < rows; ++row) {
                bits[row / 8u] |= (uint8_t)((seed >> (row + l) % 8u & 1u) << row % 8u);
            }
            bits += pt_selection_layer_size(&model->layer[l]);
        }
        set_arguments(size, 0);
        post(PT_CMD_SET_SELECTION);
    }
}

/* What the kernels' headers ask of values: none of -128, and sums that fit. */
static void mend_operands(const struct pt_bench_job *job, struct pt_window model)
{
    const bool affine = job->kernel >= PT_BENCH_AFFINE_CONV2D;
    for (uint32_t name = 0; name < PT_BENCH_OPERANDS; ++name) {
        const struct pt_bench_operand *operand = &job->operand[name];
        uint8_t *at = bytes_of(model) + operand->offset;
        if (operand->offset > model.size || operand->size > model.size - operand->offset) {
            continue; /* which the kernel does not take */
        }
        if (name == PT_BENCH_ACCUMULATOR && operand->offset % 4u == 0u) {
            for (uint32_t i = 3; i < operand->size; i += 4u) {
                at[i] = (at[i] & 0x80u) != 0u ? 0xffu : 0u; /* 24 bits and the sign */
            }
        }
        const bool values = name == PT_BENCH_INPUT || name == PT_BENCH_ERROR ||
                            name == PT_BENCH_WEIGHTS || name == PT_BENCH_SCORES;
        for (uint32_t i = 0; i < operand->size && values && !affine; ++i) {
            at[i] = at[i] == 0x80u ? 0x81u : at[i];
        }
    }
}

static void put_job(struct fuzz_input *program, struct pt_bench_job *job)
{
    memset(job, 0, sizeof *job);
    job->kernel = fuzz_u8(program) % (PT_BENCH_KERNELS + 1u);
    job->masks = fuzz_u8(program) % 4u;
    job->count = fuzz_u8(program);
    job->shift = fuzz_u8(program) % 33u;
    job->gradient_shift = fuzz_u8(program) % 26u;
    job->relu = fuzz_u8(program) % 16u == 15u ? 2u : job->count % 2u;
    job->threshold = (int8_t)fuzz_u8(program);
    job->zero_in[0] = (int8_t)fuzz_u8(program);
    job->zero_in[1] = (int8_t)fuzz_u8(program);
    job->zero_out = (int8_t)fuzz_u8(program);
    job->low = -128;
    job->high = 127;
    struct pt_shape *shape = &job->shape;
    uint16_t *const sizes[] = {&shape->in_h,  &shape->in_w,  &shape->in_c,
                               &shape->out_h, &shape->out_w, &shape->out_c};
    for (uint32_t i = 0; i < 6u; ++i) {
        *sizes[i] = fuzz_u8(program) % 16u;
    }
    uint8_t *const windows[] = {&shape->kernel_h, &shape->kernel_w,  &shape->stride_h,
                                &shape->stride_w, &shape->padding_h, &shape->padding_w};
    for (uint32_t i = 0; i < 6u; ++i) {
        *windows[i] = fuzz_u8(program) % 8u;
    }
    for (uint32_t i = 0; i < PT_BENCH_OPERANDS; ++i) {
        job->operand[i].size = fuzz_u16(program) % 2048u;
    }
}

/* Operands lie one behind the other; the sizes that a job needs are asked for one by one, so that
 * not every byte must be guessed, and where the job passes, it runs. */
static void run_job(struct fuzz_input *program)
{
    const struct pt_window model = window(PT_WINDOW_MODEL);
    struct pt_bench_job job;
    put_job(program, &job);
    if (model.size < sizeof job) {
        return;
    }
    uint8_t *at = bytes_of(model);
    struct pt_detail refused = {{0}};
    int err = PT_ERR_OPERAND;
    for (uint32_t tries = 0; tries <= PT_BENCH_OPERANDS && err == PT_ERR_OPERAND; ++tries) {
        uint32_t offset = sizeof job;
        for (uint32_t i = 0; i < PT_BENCH_OPERANDS; ++i) {
            if (tries != 0u && i == refused.value[0]) {
                job.operand[i].size = refused.value[3];
            }
            job.operand[i].offset = offset;
            offset += (job.operand[i].size + 3u) & ~3u;
        }
        memcpy(at, &job, sizeof job);
        set_arguments(PT_BENCH_CHECK, 0);
        post(PT_CMD_BENCH);
        err = here.mailbox.error;
        refused = here.mailbox.detail;
    }
    if (err == PT_OK && here.mailbox.status == PT_STATUS_DONE) {
        mend_operands(&job, model);
        set_arguments(PT_BENCH_RUN, 0);
        post(PT_CMD_BENCH);
    }
}

static void run_item(struct fuzz_input *program)
{
    switch ((enum item)(fuzz_u8(program) % ITEMS)) {
    case COMMAND:
        any_command(program);
        break;
    case WINDOW:
        write_window(program);
        break;
    case SEAL:
        seal();
        break;
    case LOAD:
        load(program);
        break;
    case METHOD:
        set_method(program);
        break;
    case BATCH:
        run_batch(program);
        break;
    case TRACE:
        trace(program);
        break;
    case KEEP:
        keep();
        break;
    case SEAL_STATE:
        seal_state();
        break;
    case JOB:
        run_job(program);
        break;
    default:
        select_rows(program);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input program = {data, size};
    const uint32_t arena_size = 64u * (1u + fuzz_u8(&program));
    memset(&here.mailbox, 0, sizeof here.mailbox);
    memset(&here.app, 0, sizeof here.app);
    here.written = here.place = here.commands = 0;
    here.memory.arena = fuzz_memory(arena_size);
    here.memory.arena_size = arena_size;
    here.memory.flash = fuzz_memory(FLASH_SIZE);
    here.memory.flash_size = FLASH_SIZE;
    here.memory.fault = here.fault;
    here.memory.fault_size = FAULT_SIZE;
    memset(here.memory.arena, 0xa5, arena_size);
    memset(here.memory.flash, 0xff, FLASH_SIZE);
    memcpy(here.flash, here.memory.flash, FLASH_SIZE);
    pt_app_start(&here.app, &here.mailbox, &here.memory);
    while (program.left != 0u && here.commands < MOST_COMMANDS) {
        run_item(&program);
    }
    free(here.memory.arena);
    free(here.memory.flash);
    return 0;
}
