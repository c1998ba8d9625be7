#include "app/pt_app.h"

#include <stddef.h>

#include "app/pt_bench.h"
#include "app/pt_sparse.h"
#include "kernels/pt_memory.h"
#include "nn/pt_crc32.h"
#include "nn/pt_prototypes.h"
#include "nn/pt_scores.h"

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

static int run_batch(struct pt_app *app, bool training, struct pt_detail *detail)
{
    struct pt_trainer *t = &app->trainer;
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
    const uint8_t *image = io_window(app);
    const uint8_t *labels = image + images * t->plan.image_size;
    const int err = check_labels(labels, images, t->model.header->classes, detail);
    if (err) {
        return err;
    }
    struct pt_result *result =
        (struct pt_result *)(io_window(app) + pt_round4(images * (t->plan.image_size + 1u)));
    uint32_t correct = 0;
    for (uint32_t i = 0; i < images; ++i) {
        pt_board_alive();
        result[i] = training ? pt_trainer_train(t, image, labels[i])
                             : pt_trainer_predict(t, image);
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
    const uint8_t *label = image + t->plan.image_size;
    const int err = check_labels(label, 1, t->model.header->classes, detail);
    if (err) {
        return err;
    }
    pt_trainer_begin(t, image, *label);
    return PT_OK;
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

/*
 * Frozen weights can be read and used, not changed; nor affine ones that the range of sums rests
 * on, which it does not of a layer that the method trains, in the arena or in a copy.
 */
static int need_writable(const struct pt_app *app, uint32_t layer, struct pt_detail *detail)
{
    const struct pt_trainer *t = &app->trainer;
    const struct pt_planned planned = pt_trainer_planned(t);
    const bool none = layer >= t->model.header->layers || /* find_tensor says so */
                      pt_layer_rows(&t->model.layer[layer]) == 0u;
    const bool trained = pt_method_weights(&t->method) &&
                         (none || pt_planned_learns(&planned, layer));
    if (!trained && pt_model_affine(&t->model)) {
        return pt_refuse(detail, PT_ERR_AFFINE, t->method.kind, 0, 0, 0);
    }
    return !trained && t->frozen ? pt_refuse(detail, PT_ERR_FROZEN, t->method.kind, 0, 0, 0)
                                 : PT_OK;
}

static int check_values(const uint8_t *values, uint32_t count, uint32_t layer,
                        struct pt_detail *detail)
{
    for (uint32_t i = 0; i < count; ++i) {
        if (values[i] == 0x80u) {
            return pt_refuse(detail, PT_ERR_WEIGHT, layer, i, 0, 0);
        }
    }
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
    int err = argument[0] == PT_TENSOR_WEIGHTS ? need_writable(app, argument[1], detail) : PT_OK;
    if (!err) {
        err = find_tensor(app, &data, &count, detail);
    }
    if (!err) {
        err = check_values(io_window(app), count, argument[1], detail);
    }
    if (!err) {
        memcpy(data, io_window(app), count);
    }
    return err;
}

/* The part of a layer's state that learns, or that NITI may have trained before; PT_ERR_TENSOR
 * where there is none. */
static int learned_tensor(const struct pt_app *app, uint32_t layer, uint8_t **data,
                          uint32_t *size)
{
    const struct pt_trainer *t = &app->trainer;
    const struct pt_planned planned = pt_trainer_planned(t);
    struct pt_detail ignored;
    if (t->method.kind != PT_INFER &&
        (!pt_planned_learns(&planned, layer) || t->method.kind == PT_FISHER)) {
        return PT_ERR_TENSOR;
    }
    const uint32_t kind = pt_method_scores(&t->method) ? PT_TENSOR_SCORES : PT_TENSOR_WEIGHTS;
    return pt_trainer_tensor(t, kind, layer, data, size, &ignored);
}

/* Over the weights of a layer that are no state, and its factors, which a head from prototypes has
 * of its own. */
static uint32_t fixed_crc(const struct pt_trainer *t, uint32_t layer, bool state, uint32_t crc)
{
    const struct pt_model_layer *entry = &t->model.layer[layer];
    if (!state) {
        crc = pt_crc32(crc, pt_model_weights(&t->model, layer), entry->weights_size);
    }
    return pt_crc32(crc, pt_model_factors(&t->model, layer),
                    entry->factors * (uint32_t)sizeof(struct pt_factor));
}

static struct pt_checkpoint describe_state(const struct pt_app *app)
{
    const struct pt_trainer *t = &app->trainer;
    struct pt_method method = t->method;
    method.mu = 0;
    struct pt_checkpoint head = {
        PT_CHECKPOINT_MAGIC, t->model.header->crc32, pt_crc32(0, &method, sizeof method), 0, 0,
    };
    if (pt_method_selects(&method)) {
        head.method = pt_crc32(head.method, t->selected.bits, t->selected.size);
    }
    for (uint32_t l = 0; l < t->model.header->layers; ++l) {
        uint8_t *data;
        uint32_t size;
        const bool learned = learned_tensor(app, l, &data, &size) == PT_OK;
        head.model_crc = fixed_crc(t, l, learned && !pt_method_scores(&method), head.model_crc);
        if (learned) {
            head.state_crc = pt_crc32(head.state_crc, data, size);
            head.state_size += size;
        }
    }
    return head;
}

static int checkpoint(struct pt_app *app, struct pt_detail *detail)
{
    const struct pt_checkpoint head = describe_state(app);
    const uint32_t total = (uint32_t)sizeof head + head.state_size;
    if (total > io_size(app)) {
        return pt_refuse(detail, PT_ERR_RANGE, 0, total, io_size(app), 0);
    }
    uint8_t *to = io_window(app);
    memcpy(to, &head, sizeof head);
    to += sizeof head;
    for (uint32_t l = 0; l < app->trainer.model.header->layers; ++l) {
        uint8_t *data;
        uint32_t size;
        if (learned_tensor(app, l, &data, &size) == PT_OK) {
            memcpy(to, data, size);
            to += size;
        }
    }
    app->mailbox->response[0] = total;
    return PT_OK;
}

static int restore(struct pt_app *app, struct pt_detail *detail)
{
    const struct pt_checkpoint now = describe_state(app);
    const uint32_t given = app->mailbox->argument[0];
    const uint8_t *from = io_window(app);
    struct pt_checkpoint head;
    for (uint32_t l = 0; l < app->trainer.model.header->layers; ++l) {
        uint8_t *data;
        uint32_t size;
        const int err = learned_tensor(app, l, &data, &size) == PT_OK &&
                                !pt_method_scores(&app->trainer.method)
                            ? need_writable(app, l, detail)
                            : PT_OK;
        if (err) {
            return err;
        }
    }
    if (given > io_size(app) || given != sizeof head + now.state_size) {
        return pt_refuse(detail, PT_ERR_RANGE, 0, given, (uint32_t)sizeof head + now.state_size,
                         io_size(app));
    }
    memcpy(&head, from, sizeof head);
    from += sizeof head;
    const bool matches[] = {
        head.magic == now.magic,
        head.model_crc == now.model_crc,
        head.method == now.method,
        head.state_crc == pt_crc32(0, from, now.state_size),
        head.state_size == now.state_size,
        check_values(from, now.state_size, 0, detail) == PT_OK,
    };
    for (uint32_t i = 0; i < sizeof matches / sizeof matches[0]; ++i) {
        if (!matches[i]) {
            return pt_refuse(detail, PT_ERR_CHECKPOINT, i, 0, 0, 0);
        }
    }
    for (uint32_t l = 0; l < app->trainer.model.header->layers; ++l) {
        uint8_t *data;
        uint32_t size;
        if (learned_tensor(app, l, &data, &size) == PT_OK) {
            memcpy(data, from, size);
            from += size;
        }
    }
    return PT_OK;
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

static int bench(struct pt_app *app, struct pt_detail *detail)
{
    const int err = need_state(app, PT_STATE_EMPTY, detail);
    return err ? err
               : pt_bench_run(app->trainer.arena, app->trainer.arena_size,
                              app->mailbox->argument[0] != 0u, &app->mailbox->response[0], detail);
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
    case PT_CMD_SET_METHOD:
        return set_method(app, detail);
    case PT_CMD_BENCH:
        return bench(app, detail);
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
    const uint64_t begin = pt_board_cycles();
    mailbox->error = dispatch(app, command, &detail);
    mailbox->cycles = pt_board_cycles() - begin;
    mailbox->detail = detail;
    open_windows(app);
    if (command == PT_CMD_INFO) {
        report_memory(app);
    }
    mailbox->command = PT_CMD_NONE;
    mailbox->status = mailbox->error == PT_OK ? PT_STATUS_DONE : PT_STATUS_ERROR;
}
