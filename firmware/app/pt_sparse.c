#include "app/pt_sparse.h"

#include "kernels/pt_memory.h"
#include "nn/pt_solver.h"

int pt_sparse_set_selection(struct pt_app *app, struct pt_detail *detail)
{
    struct pt_trainer *t = &app->trainer;
    const uint32_t size = app->mailbox->argument[0];
    const uint32_t offset = pt_trainer_io_offset(t);
    if (size > t->arena_size - offset) {
        return pt_refuse(detail, PT_ERR_RANGE, 0, size, t->arena_size - offset, 0);
    }
    return pt_trainer_select(t, t->arena + offset, size, detail);
}

int pt_sparse_select(struct pt_app *app, struct pt_detail *detail)
{
    struct pt_trainer *t = &app->trainer;
    struct pt_solver_job job;
    struct pt_solution solution;
    const uint32_t offset = t->plan.blob_size + t->plan.scores_size;
    const uint32_t room = t->arena_size - offset;
    _Static_assert(sizeof job <= sizeof app->mailbox->argument &&
                       sizeof solution <= sizeof app->mailbox->response,
                   "both fit the mailbox");
    if (!PT_WITH_AFFINE || t->method.kind != PT_FISHER) {
        return pt_refuse(detail, PT_ERR_METHOD_NEEDED, t->method.kind, PT_FISHER, 0, 0);
    }
    if (room < pt_solver_scratch()) {
        return pt_refuse(detail, PT_ERR_MEMORY, offset + pt_solver_scratch(), t->arena_size,
                         pt_solver_scratch(), (uint32_t)PT_MEMORY_SCRATCH << 8);
    }
    memcpy(&job, app->mailbox->argument, sizeof job);
    const int err = pt_solver_run(t, &job, t->arena + offset, &solution, detail);
    t->operation = t->plan.operations; /* what a step had made is gone */
    if (!err) {
        memcpy(app->mailbox->response, &solution, sizeof solution);
    }
    return err;
}
