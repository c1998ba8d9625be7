/*
 * The commands of sparse updates: which rows learn, given or solved for. The trainer is ready.
 */
#ifndef PT_SPARSE_H
#define PT_SPARSE_H

#include "app/pt_app.h"

/* (size): the bits in the io window, or with 0 all rows. */
int pt_sparse_set_selection(struct pt_app *app, struct pt_detail *detail);

/* (struct pt_solver_job) -> struct pt_solution. The solver works where transient buffers and the io
 * window are: a step in work is over. */
int pt_sparse_select(struct pt_app *app, struct pt_detail *detail);

#endif
