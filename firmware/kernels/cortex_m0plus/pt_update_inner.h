/*
 * The inner loop of the tuned updates: assembly on the Cortex-M0+, C in host/ elsewhere.
 */
#ifndef PT_UPDATE_INNER_H
#define PT_UPDATE_INNER_H

#include <stdint.h>

/*
 * PSTO(x, shift) of a magnitude M, with h = shift / 2 (docs/numerics.md, section 2): the remainder
 * f = M mod 2^shift, moved to the top of a word, is M << left. Its low half r, moved there too and
 * filled up with ones, is M << left_low | ones. The first is larger exactly where q > r. Below
 * `least` = 2^h the result is 0: both q and M >> shift are.
 */
struct pt_psto {
    uint32_t least;
    uint32_t left;     /* 32 - shift */
    uint32_t left_low; /* 32 - h */
    uint32_t ones;     /* 2^(32 - shift + h) - 1, at least 1 */
    uint32_t shift;
};

struct pt_steps_job {
    const void *list;      /* pt_linear_inner.h; int32 for pt_step_gradient; not empty */
    const void *end;
    int8_t *state;         /* of the row: scores or weights */
    const int8_t *weights; /* of the row; not used by pt_step_weights */
    int32_t error;         /* not used by pt_step_gradient */
    struct pt_psto psto;
    uint32_t saturated;    /* counts up */
};

/* state[k] <- clamp(state[k] - clamp(PSTO(error * input * weights[k]))) over the list. */
void pt_step_scores(struct pt_steps_job *job);

/* state[k] <- clamp(state[k] - clamp(PSTO(error * input))) over the list. */
void pt_step_weights(struct pt_steps_job *job);

/* state[k] <- clamp(state[k] - clamp(PSTO(gradient[k] * weights[k]))) for all of the list. */
void pt_step_gradient(struct pt_steps_job *job);

#endif
