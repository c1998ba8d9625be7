/*
 * The inner loop of the tuned max-pool: assembly on the Cortex-M0+, C in host/ elsewhere.
 */
#ifndef PT_MAXPOOL2_INNER_H
#define PT_MAXPOOL2_INNER_H

#include <stdint.h>

struct pt_pools_job {
    const int8_t *window; /* top left element of what comes next, aligned to 4; moves on */
    int8_t *output;       /* aligned to 4; moves on */
    int8_t *position_end; /* behind the output position; moves on */
    int8_t *end;          /* behind a row of them */
    uint32_t right;       /* from one element of a window to the next: the channels, 4 * n */
    uint32_t below;
};

/*
 * Stores the largest of each window up to the end, which may be where it begins, or up to four
 * channels of which an element is negative.
 */
void pt_pool_words(struct pt_pools_job *job);

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
