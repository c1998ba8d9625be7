/*
 * The inner loop of the tuned max-pool: assembly on the Cortex-M0+, C in host/ elsewhere.
 */
#ifndef PT_MAXPOOL2_INNER_H
#define PT_MAXPOOL2_INNER_H

#include <stdint.h>

struct pt_routes_job {
    const int8_t *window; /* top left elements of the windows of a row of positions */
    const int8_t *error;  /* of their maxima; moves on */
    const int8_t *end;    /* behind the last error, at least one */
    int8_t *input_error;  /* laid out as `window` */
    uint32_t right;       /* from one element of a window to the next: the channels */
    uint32_t below;
    int32_t least;        /* maxima below take no error */
};

/* Stores each error that is not zero at the first maximum of its window. */
void pt_route_errors(struct pt_routes_job *job);

#endif
