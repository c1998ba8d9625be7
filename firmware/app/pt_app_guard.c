#include "app/pt_app_guard.h"

#include <stddef.h>

#include "app/pt_image.h"
#include "nn/pt_sum.h"

/* What never changes: who the mailbox is, and what the board said. */
static uint32_t head_sum(const struct pt_app *app)
{
    const uint32_t sum = pt_sum(0, app->mailbox, offsetof(struct pt_mailbox, command));
    return pt_sum(sum, &app->memory, sizeof app->memory);
}

static uint32_t windows_sum(const struct pt_app *app)
{
    return pt_sum(0, app->mailbox->window, sizeof app->mailbox->window);
}

static int refuse(uint32_t region, uint32_t found, uint32_t expected, struct pt_detail *detail)
{
    return pt_refuse(detail, PT_ERR_DAMAGED, region, found, expected, 0);
}

static int check_mailbox(const struct pt_app *app, struct pt_detail *detail)
{
    const uint32_t head = head_sum(app);
    const uint32_t windows = windows_sum(app);
    if (head != app->head_sum) {
        return refuse(PT_REGION_MAILBOX, head, app->head_sum, detail);
    }
    return windows == app->windows_sum
               ? PT_OK
               : refuse(PT_REGION_MAILBOX, windows, app->windows_sum, detail);
}

/* Parts that a WRITE_TENSOR changes, of those that it is for. */
static uint32_t written(const struct pt_app *app)
{
    return app->mailbox->argument[0] == PT_TENSOR_SCORES
               ? PT_GUARD_LEARNT
               : (uint32_t)PT_GUARD_LEARNT | PT_GUARD_MODEL;
}

static uint32_t relied_on(const struct pt_app *app, uint32_t command)
{
    switch (command) {
    case PT_CMD_SET_METHOD:
    case PT_CMD_SET_SELECTION:
    case PT_CMD_SELECT:
    case PT_CMD_MAKE_HEAD:
        return PT_GUARD_ALL;
    case PT_CMD_TRAIN:
    case PT_CMD_EVALUATE:
    case PT_CMD_TRACE_BEGIN:
    case PT_CMD_CHECKPOINT:
        return PT_GUARD_LEARNT;
    case PT_CMD_RESTORE:
        return PT_GUARD_MODEL;
    case PT_CMD_WRITE_TENSOR:
        return written(app);
    default:
        return PT_GUARD_TRAINER;
    }
}

static uint32_t changed(const struct pt_app *app, uint32_t command)
{
    switch (command) {
    case PT_CMD_RESET:
    case PT_CMD_LOAD_MODEL:
    case PT_CMD_SET_METHOD:
    case PT_CMD_SET_SELECTION:
    case PT_CMD_SELECT:
    case PT_CMD_MAKE_HEAD:
        return PT_GUARD_ALL;
    case PT_CMD_SET_MU:
    case PT_CMD_SET_PLAN:
        return PT_GUARD_TRAINER;
    case PT_CMD_TRAIN:
        return PT_GUARD_LEARNT;
    case PT_CMD_TRACE_NEXT: /* struct pt_event: what ran; a forward pass leaves what was learned */
        return app->mailbox->response[0] == PT_FORWARD ? 0u : (uint32_t)PT_GUARD_LEARNT;
    case PT_CMD_RESTORE:
        return (uint32_t)PT_GUARD_LEARNT | PT_GUARD_MODEL;
    case PT_CMD_WRITE_TENSOR:
        return written(app);
    default:
        return 0;
    }
}

/* Bytes of the io window that the harness has written or will read. */
static uint32_t passed(const struct pt_app *app, uint32_t command)
{
    const uint32_t *argument = app->mailbox->argument;
    switch (command) {
    case PT_CMD_TRAIN:
    case PT_CMD_EVALUATE:
        return pt_batch_size(app->trainer.plan.image_size, argument[0]);
    case PT_CMD_READ_TENSOR:
    case PT_CMD_WRITE_TENSOR:
        return argument[3];
    default:
        return 0;
    }
}

void pt_app_guard_start(struct pt_app *app)
{
    pt_guard_take(&app->guard, &app->trainer, PT_GUARD_ALL);
    app->head_sum = head_sum(app);
    pt_app_guard_windows(app);
}

int pt_app_guard_before(const struct pt_app *app, uint32_t command, struct pt_detail *detail)
{
    if (command == PT_CMD_RESET || command == PT_CMD_CHECK) {
        return PT_OK;
    }
    const int err = check_mailbox(app, detail);
    return err ? err
               : pt_guard_check(&app->guard, &app->trainer, relied_on(app, command), detail);
}

void pt_app_guard_after(struct pt_app *app, uint32_t command)
{
    struct pt_mailbox *mailbox = app->mailbox;
    const bool served = mailbox->error == PT_OK;
    const uint32_t size = served ? passed(app, command) : 0u;
    /* A refusal has looked at no more than this, and may have been one of what is damaged. */
    const uint32_t seen = served ? (uint32_t)PT_GUARD_ALL
                                 : relied_on(app, command) | (uint32_t)PT_GUARD_TRAINER;
    pt_guard_take(&app->guard, &app->trainer, changed(app, command) & seen);
    if (size != 0u) {
        const struct pt_trainer *t = &app->trainer;
        mailbox->response[1] = pt_sum(0, t->arena + pt_trainer_io_offset(t), size);
    }
}

void pt_app_guard_windows(struct pt_app *app)
{
    app->windows_sum = windows_sum(app);
}

static int check_code(struct pt_app *app, struct pt_detail *detail)
{
    const struct pt_board_code code = pt_board_code();
    const struct pt_image image = pt_image_of(&code);
    if (!pt_image_whole(&image, &code)) {
        return image.flash_crc32 != code.flash_crc32
                   ? refuse(PT_REGION_CODE, image.flash_crc32, code.flash_crc32, detail)
                   : refuse(PT_REGION_CODE, image.sram_crc32, code.sram_crc32, detail);
    }
    app->mailbox->response[0] = image.flash_crc32;
    app->mailbox->response[1] = image.sram_crc32;
    return PT_OK;
}

int pt_app_guard_check(struct pt_app *app, struct pt_detail *detail)
{
    int err = check_mailbox(app, detail);
    if (!err) {
        err = pt_guard_check(&app->guard, &app->trainer, PT_GUARD_ALL, detail);
    }
    if (!err && app->memory.stack_size != 0u && pt_board_stack_used() >= app->memory.stack_size) {
        err = refuse(PT_REGION_STACK, pt_board_stack_used(), app->memory.stack_size, detail);
    }
    return err ? err : check_code(app, detail);
}
