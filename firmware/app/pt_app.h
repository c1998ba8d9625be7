/*
 * The program on the device: serves the mailbox.
 *
 * The board owns the memory: it zero-initialises both structs, calls pt_app_start once, then
 * pt_app_serve whenever the harness may have posted something. Never returns an error; those go
 * into the mailbox, and the device serves on.
 */
#ifndef PT_APP_H
#define PT_APP_H

#include "app/pt_board.h"
#include "app/pt_mailbox.h"
#include "nn/pt_guard.h"
#include "nn/pt_trainer.h"

struct pt_app {
    struct pt_mailbox *mailbox;
    struct pt_board_memory memory;
    struct pt_trainer trainer;
    struct pt_guard guard; /* and what else app/pt_app_guard.h sums: */
    uint32_t head_sum;
    uint32_t windows_sum;
};

void pt_app_start(struct pt_app *app, struct pt_mailbox *mailbox,
                  const struct pt_board_memory *memory);

void pt_app_serve(struct pt_app *app);

#endif
