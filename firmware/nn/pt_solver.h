/*
 * Which rows to train within budgets of memory and work (docs/numerics.md, section 16), from what
 * PT_FISHER has seen. Two solvers: the published order of the layers, which takes what fits, and
 * one that knows what a layer costs where others are trained already.
 */
#ifndef PT_SOLVER_H
#define PT_SOLVER_H

#include <stdint.h>

#include "nn/pt_trainer.h"

enum pt_solver { PT_SOLVER_GREEDY = 0, PT_SOLVER_TRUE_COST = 1, PT_SOLVERS };

struct pt_solver_job {
    uint32_t solver;   /* enum pt_solver */
    uint32_t permille; /* of a layer's rows, 1..1000 */
    uint32_t bytes;    /* copies, scores and transient together, at least 1 */
    uint32_t macs;     /* of the backward pass, at least 1 */
    uint32_t method;   /* that the rows are for: niti-dynamic, niti-static or priot */
};

struct pt_solution {
    uint32_t bytes;
    uint32_t macs; /* at most 2^32 - 1 */
    uint32_t layers;
    uint32_t rows;
};

/* Bytes of scratch, aligned to 8, that a solver needs. */
uint32_t pt_solver_scratch(void);

/*
 * Selects rows: `trainer->selected` holds them afterwards. The method must be PT_FISHER, and goes
 * on. PT_ERR_BUDGET where nothing fits; then, as on every error, the selection is as it was.
 */
int pt_solver_run(struct pt_trainer *trainer, const struct pt_solver_job *job, void *scratch,
                  struct pt_solution *solution, struct pt_detail *detail);

#endif
