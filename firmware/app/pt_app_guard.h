/*
 * Whether the program's memory is as it was: around each command, and whole on command.
 *
 * Before a command is checked what it relies on: mailbox and trainer always, what was learned by
 * those that use it, the model by those that take it over into another state. After it a new sum is
 * taken of what it may have changed. So no sum is ever taken of what changed in between, and a
 * refusal changes nothing: PT_CMD_RESET alone is served whatever is damaged, and PT_CMD_RESTORE
 * mends what was learned. A traced step is one step, in which what it learns is not checked.
 *
 * All of this is outside of the command's cycles.
 */
#ifndef PT_APP_GUARD_H
#define PT_APP_GUARD_H

#include "app/pt_app.h"

/* Once, when the mailbox is ready. */
void pt_app_guard_start(struct pt_app *app);

/* PT_ERR_DAMAGED, as from pt_guard_check, where the command must not be served. */
int pt_app_guard_before(const struct pt_app *app, uint32_t command, struct pt_detail *detail);

/* After the command, which was served or refused by itself: sums, and the response's. */
void pt_app_guard_after(struct pt_app *app, uint32_t command);

/* At last, when the windows are written. */
void pt_app_guard_windows(struct pt_app *app);

/* PT_CMD_CHECK: every region. */
int pt_app_guard_check(struct pt_app *app, struct pt_detail *detail);

#endif
