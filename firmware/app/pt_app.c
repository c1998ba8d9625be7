#include "app/pt_app.h"

#include <stddef.h>

#include "app/pt_app_guard.h"
#include "app/pt_bench.h"
#include "app/pt_sparse.h"
#include "kernels/pt_memory.h"
#include "nn/pt_crc32.h"
#include "nn/pt_prototypes.h"
#include "nn/pt_state.h"

/* A model's windows are open while nothing uses what lies there, the io window once planned. */
static void open_windows(struct pt_app *app)
{
    struct pt_trainer *t = &app->trainer;
    struct pt_window *window = app->mailbox->window;
    memset(window, 0, sizeof app->mailbox->window);
    window[PT_WINDOW_FAULT].address = (uintptr_t)app->memory.fault;
    window[PT_WINDOW_FAULT].size = app->memory.fault_size;
    if (t->state == PT_STATE_EMPTY) {
        window[PT_WINDOW_MODEL].address = (uintptr_t)t->arena;
        window[PT_WINDOW_MODEL].size = t->arena_size;
        window[PT_WINDOW_MODEL].writable = 1;
        window[PT_WINDOW_FLASH].address = (uintptr_t)app->memory.flash;
        window[PT_WINDOW_FLASH].size = app->memory.flash_size;
        window[PT_WINDOW_FLASH].writable = 1; /* by the harness */
    }
    if (t->state == PT_STATE_READY) {
        const uint32_t offset = pt_trainer_io_offset(t);
        window[PT_WINDOW_IO].address = (uintptr_t)(t->arena + offset);
        window[PT_WINDOW_IO].size = t->arena_size - offset;
        window[PT_WINDOW_IO].writable = 1;
        window[PT_WINDOW_PLAN].address = (uintptr_t)&t->plan;
        window[PT_WINDOW_PLAN].size = sizeof t->plan;
        window[PT_WINDOW_SATURATION].address = (uintptr_t)t->saturation;
        window[PT_WINDOW_SATURATION].size =
            (uint32_t)sizeof t->saturation[0] * t->model.header->layers;
    }
}

static void report_memory(struct pt_app *app)
{
    struct pt_memory *memory = &app->mailbox->memory;
    const struct pt_trainer *t = &app->trainer;
    memset(memory, 0, sizeof *memory);
    memory->arena = app->memory.arena_size;
    memory->code = app->memory.code_size;
    memory->statics = app->memory.static_size;
    memory->stack_reserved = app->memory.stack_size;
    memory->stack_used = pt_board_stack_used();
    if (t->state == PT_STATE_READY) {
        memory->blob = t->plan.blob_size;
        for (uint32_t l = 0; l < t->model.header->layers; ++l) {
            memory->weights += t->frozen ? 0u : t->model.layer[l].weights_size;
        }
        memory->weights += t->frozen ? t->plan.blob_size : 0u; /* the copies */
        memory->blob_in_flash = t->frozen ? t->model.header->size : 0u;
        memory->scores = t->plan.scores_size;
        memory->activations = t->plan.activations_size;
        memory->transient = t->plan.transient_size;
        memory->io_minimum = t->plan.io_minimum;
    }
}

static uint8_t *io_window(const struct pt_app *app)
{
    return app->trainer.arena + pt_trainer_io_offset(&app->trainer);
}

static uint32_t io_size(const struct pt_app *app)
{
    return app->trainer.arena_size - pt_trainer_io_offset(&app->trainer);
}

static int need_state(const struct pt_app *app, enum pt_trainer_state state,
                      struct pt_detail *detail)
{
    if (app->trainer.state != (uint32_t)state) {
        return pt_refuse(detail, PT_ERR_STATE, app->trainer.state, (uint32_t)state, 0, 0);
    }
    return PT_OK;
}

static int check_labels(const uint8_t *labels, uint32_t images, uint32_t classes,
                        struct pt_detail *detail)
{
    for (uint32_t i = 0; i < images; ++i) {
        if (labels[i] >= classes) {
            return pt_refuse(detail, PT_ERR_LABEL, i, labels[i], classes, 0);
        }
    }
    return PT_OK;
}

/* Not part of run_batch, so that it stays in flash. */
static __attribute__((noinline)) int check_batch(const struct pt_app *app, bool training,
                                                 struct pt_detail *detail)
{
    const struct pt_trainer *t = &app->trainer;
    const uint32_t images = app->mailbox->argument[0];
    const uint32_t each = t->plan.image_size + 1u + (uint32_t)sizeof(struct pt_result);
    const uint32_t most = io_size(app) / each;
    if (images < 1u || images > most || pt_batch_size(t->plan.image_size, images) > io_size(app)) {
        return pt_refuse(detail, PT_ERR_BATCH, images, most, 0, 0);
    }
    if (training && !pt_method_trains(&t->method)) {
        return pt_refuse(detail, PT_ERR_ARGUMENT, 0, t->method.kind, PT_NITI_DYNAMIC,
                         PT_METHOD_KINDS - 1);
    }
    return check_labels(io_window(app) + images * t->plan.image_size, images,
                        t->model.header->classes, detail);
}

static int run_batch(struct pt_app *app, bool training, struct pt_detail *detail)
{
    struct pt_trainer *t = &app->trainer;
    const uint32_t images = app->mailbox->argument[0];
    const int err = check_batch(app, training, detail);
    if (err) {
        return err;
    }
    const uint8_t *image = io_window(app);
    const uint8_t *labels = image + images * t->plan.image_size;
    struct pt_result *result =
        (struct pt_result *)(io_window(app) + pt_round4(images * (t->plan.image_size + 1u)));
    uint32_t correct = 0;
    for (uint32_t i = 0; i < images; ++i) {
        pt_board_alive();
        if (training) {
            (void)pt_trainer_train(t, image, labels[i], &result[i], NULL); /* all are classes */
        } else {
            result[i] = pt_trainer_predict(t, image);
        }
        correct += result[i].prediction == labels[i] ? 1u : 0u;
        image += t->plan.image_size;
    }
    app->mailbox->response[0] = correct;
    return PT_OK;
}

static int trace_begin(struct pt_app *app, struct pt_detail *detail)
{
    struct pt_trainer *t = &app->trainer;
    const uint8_t *image = io_window(app);
    return pt_trainer_begin(t, image, image[t->plan.image_size], detail);
}

static int trace_next(struct pt_app *app, struct pt_detail *detail)
{
    struct pt_trainer *t = &app->trainer;
    int8_t *sink = app->mailbox->argument[0] != 0u ? NULL : (int8_t *)io_window(app);
    if (sink != NULL && t->operation < t->plan.operations) {
        const struct pt_operation *operation = &t->plan.operation[t->operation];
        const uint32_t row_length = pt_layer_row_length(&t->model.layer[operation->layer]);
        if (operation->kind == PT_UPDATE && row_length > io_size(app)) {
            return pt_refuse(detail, PT_ERR_RANGE, 0, row_length, io_size(app), 0);
        }
    }
    const struct pt_event event = pt_trainer_next(t, sink, io_size(app));
    memcpy(app->mailbox->response, &event, sizeof event);
    return PT_OK;
}

/* Finds [offset, offset + count) of the tensor that the arguments name. */
static int find_tensor(const struct pt_app *app, uint8_t **data, uint32_t *count,
                       struct pt_detail *detail)
{
    const uint32_t *argument = app->mailbox->argument;
    const uint32_t offset = argument[2];
    uint32_t size;
    const int err = pt_trainer_tensor(&app->trainer, argument[0], argument[1], data, &size,
                                      detail);
    if (err) {
        return err;
    }
    *count = argument[3];
    app->mailbox->response[0] = size;
    if (offset > size || *count > size - offset || *count > io_size(app)) {
        return pt_refuse(detail, PT_ERR_RANGE, offset, *count, size, io_size(app));
    }
    *data += offset;
    return PT_OK;
}

static int read_tensor(struct pt_app *app, struct pt_detail *detail)
{
    uint8_t *data;
    uint32_t count;
    const int err = find_tensor(app, &data, &count, detail);
    if (!err) {
        memcpy(io_window(app), data, count);
    }
    return err;
}

static int write_tensor(struct pt_app *app, struct pt_detail *detail)
{
    const uint32_t *argument = app->mailbox->argument;
    uint8_t *data;
    uint32_t count;
    if (argument[0] != PT_TENSOR_WEIGHTS && argument[0] != PT_TENSOR_SCORES) {
        return pt_refuse(detail, PT_ERR_ARGUMENT, 0, argument[0], PT_TENSOR_WEIGHTS,
                         PT_TENSOR_SCORES);
    }
    int err = argument[0] == PT_TENSOR_WEIGHTS
                  ? pt_state_writable_weights(&app->trainer, argument[1], detail)
                  : PT_OK;
    if (!err) {
        err = find_tensor(app, &data, &count, detail);
    }
    if (!err) {
        err = pt_state_values(io_window(app), count, argument[1], detail);
    }
    if (!err) {
        memcpy(data, io_window(app), count);
    }
    return err;
}

static int checkpoint(struct pt_app *app, struct pt_detail *detail)
{
    const struct pt_checkpoint head = pt_state_describe(&app->trainer);
    const uint32_t total = (uint32_t)sizeof head + head.state_size;
    if (total > io_size(app)) {
        return pt_refuse(detail, PT_ERR_RANGE, 0, total, io_size(app), 0);
    }
    memcpy(io_window(app), &head, sizeof head);
    pt_state_read(&app->trainer, 0, io_window(app) + sizeof head, head.state_size);
    app->mailbox->response[0] = total;
    return PT_OK;
}

static int restore(struct pt_app *app, struct pt_detail *detail)
{
    const uint32_t size = pt_state_size(&app->trainer);
    const uint32_t given = app->mailbox->argument[0];
    struct pt_checkpoint head;
    const uint8_t *from = io_window(app) + sizeof head;
    int err = pt_state_writable(&app->trainer, detail);
    if (!err && (given > io_size(app) || given != sizeof head + size)) {
        err = pt_refuse(detail, PT_ERR_RANGE, 0, given, (uint32_t)sizeof head + size,
                        io_size(app));
    }
    if (err) {
        return err;
    }
    memcpy(&head, io_window(app), sizeof head);
    err = pt_state_accept(&app->trainer, &head, detail);
    if (!err && head.state_crc != pt_crc32(0, from, size)) {
        err = pt_refuse(detail, PT_ERR_CHECKPOINT, PT_CHECKPOINT_OF_CRC, 0, 0, 0);
    }
    if (!err && pt_state_values(from, size, 0, detail)) {
        err = pt_refuse(detail, PT_ERR_CHECKPOINT, PT_CHECKPOINT_OF_VALUES, 0, 0, 0);
    }
    if (!err) {
        pt_state_write(&app->trainer, 0, from, size);
    }
    return err;
}

static int load_model(struct pt_app *app, struct pt_detail *detail)
{
    struct pt_trainer *t = &app->trainer;
    const uint32_t size = app->mailbox->argument[0];
    const uint32_t place = app->mailbox->argument[1];
    const int err = need_state(app, PT_STATE_EMPTY, detail);
    if (err) {
        return err;
    }
    if (place >= PT_PLACES) {
        return pt_refuse(detail, PT_ERR_ARGUMENT, 1, place, PT_PLACE_ARENA, PT_PLACES - 1);
    }
    if (place == PT_PLACE_ARENA) {
        return pt_trainer_open(t, t->arena, size, false, detail);
    }
    if (size > app->memory.flash_size) {
        return pt_refuse(detail, PT_ERR_MEMORY, size, app->memory.flash_size, size,
                         (uint32_t)PT_MEMORY_WEIGHTS << 8);
    }
    return pt_trainer_open(t, app->memory.flash, size, true, detail);
}

static int set_plan(struct pt_app *app, struct pt_detail *detail)
{
    const uint32_t fused = app->mailbox->argument[0];
    if (fused > 1u) {
        return pt_refuse(detail, PT_ERR_ARGUMENT, 0, fused, 0, 1);
    }
    pt_trainer_fuse(&app->trainer, fused != 0u);
    return PT_OK;
}

static int set_method(struct pt_app *app, struct pt_detail *detail)
{
    struct pt_method method;
    _Static_assert(sizeof method <= sizeof app->mailbox->argument, "a method fits the arguments");
    if (app->trainer.state == PT_STATE_EMPTY) {
        return pt_refuse(detail, PT_ERR_STATE, app->trainer.state, PT_STATE_MODEL, 0, 0);
    }
    memcpy(&method, app->mailbox->argument, sizeof method);
    return pt_trainer_method(&app->trainer, &method, detail);
}

/* One job after the other. Not part of dispatch, whose stack all commands have. */
static __attribute__((noinline)) int bench(struct pt_app *app, struct pt_detail *detail)
{
    const uint32_t mode = app->mailbox->argument[0];
    uint32_t *response = app->mailbox->response;
    uint8_t *window = app->trainer.arena;
    uint32_t size = app->trainer.arena_size;
    int err = need_state(app, PT_STATE_EMPTY, detail);
    if (err) {
        return err;
    }
    if (mode >= PT_BENCH_MODES) {
        return pt_refuse(detail, PT_ERR_ARGUMENT, 0, mode, PT_BENCH_RUN, PT_BENCH_MODES - 1);
    }
    for (;; ++response[1]) {
        pt_board_alive();
        err = pt_bench_run(window, size, mode, &response[0], detail);
        if (err) {
            return err;
        }
        const uint32_t next = ((const struct pt_bench_job *)window)->next;
        if (next == 0u) {
            return PT_OK;
        }
        if (next % 8u != 0u || next > size) {
            return pt_refuse(detail, PT_ERR_RANGE, next, sizeof(struct pt_bench_job), size, 0);
        }
        window += next;
        size -= next;
    }
}

static int dispatch(struct pt_app *app, uint32_t command, struct pt_detail *detail)
{
    struct pt_trainer *t = &app->trainer;
    int err;
    switch (command) {
    case PT_CMD_INFO:
        return PT_OK;
    case PT_CMD_RESET:
        pt_trainer_reset(t, app->memory.arena, app->memory.arena_size);
        return PT_OK;
    case PT_CMD_LOAD_MODEL:
        return load_model(app, detail);
    case PT_CMD_SET_PLAN:
        return set_plan(app, detail);
    case PT_CMD_SET_METHOD:
        return set_method(app, detail);
    case PT_CMD_BENCH:
        return bench(app, detail);
    case PT_CMD_CHECK:
        return pt_app_guard_check(app, detail);
    default:
        break;
    }
    if (command >= PT_COMMANDS) {
        return pt_refuse(detail, PT_ERR_COMMAND, command, 0, 0, 0);
    }
    err = need_state(app, PT_STATE_READY, detail);
    if (err) {
        return err;
    }
    switch (command) {
    case PT_CMD_SET_MU:
        return pt_trainer_set_mu(t, (int32_t)app->mailbox->argument[0], detail);
    case PT_CMD_TRAIN:
        return run_batch(app, true, detail);
    case PT_CMD_EVALUATE:
        return run_batch(app, false, detail);
    case PT_CMD_TRACE_BEGIN:
        return trace_begin(app, detail);
    case PT_CMD_TRACE_NEXT:
        return trace_next(app, detail);
    case PT_CMD_READ_TENSOR:
        return read_tensor(app, detail);
    case PT_CMD_WRITE_TENSOR:
        return write_tensor(app, detail);
    case PT_CMD_CHECKPOINT:
        return checkpoint(app, detail);
    case PT_CMD_RESTORE:
        return restore(app, detail);
    case PT_CMD_SET_SELECTION:
        return pt_sparse_set_selection(app, detail);
    case PT_CMD_SELECT:
        return pt_sparse_select(app, detail);
    case PT_CMD_MAKE_HEAD:
        return pt_prototypes_make(t, detail);
    default:
        memset(t->saturation, 0, sizeof t->saturation);
        return PT_OK;
    }
}

static void serve(struct pt_app *app, uint32_t command, struct pt_detail *detail)
{
    struct pt_mailbox *mailbox = app->mailbox;
    const uint64_t begin = pt_board_cycles();
    mailbox->error = dispatch(app, command, detail);
    mailbox->cycles = pt_board_cycles() - begin;
    pt_app_guard_after(app, command);
    if (command == PT_CMD_INFO) {
        report_memory(app);
    }
}

void pt_app_start(struct pt_app *app, struct pt_mailbox *mailbox,
                  const struct pt_board_memory *memory)
{
    app->mailbox = mailbox;
    app->memory = *memory;
    pt_trainer_reset(&app->trainer, memory->arena, memory->arena_size);
    open_windows(app);
    report_memory(app);
    mailbox->size = sizeof *mailbox;
    mailbox->version = PT_PROTOCOL_VERSION;
    mailbox->status = PT_STATUS_IDLE;
    mailbox->magic = PT_MAILBOX_MAGIC;
    pt_app_guard_start(app);
}

void pt_app_serve(struct pt_app *app)
{
    struct pt_mailbox *mailbox = app->mailbox;
    const uint32_t command = mailbox->command;
    if (command == PT_CMD_NONE) {
        return;
    }
    struct pt_detail detail = {{0}};
    mailbox->status = PT_STATUS_BUSY;
    memset(mailbox->response, 0, sizeof mailbox->response);
    mailbox->cycles = 0;
    mailbox->error = pt_app_guard_before(app, command, &detail);
    if (mailbox->error == PT_OK) {
        serve(app, command, &detail);
    }
    mailbox->detail = detail;
    open_windows(app);
    pt_app_guard_windows(app);
    mailbox->command = PT_CMD_NONE;
    mailbox->status = mailbox->error == PT_OK ? PT_STATUS_DONE : PT_STATUS_ERROR;
}
