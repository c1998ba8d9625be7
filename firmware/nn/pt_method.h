/*
 * What learns, and how: docs/numerics.md, section 6.
 */
#ifndef PT_METHOD_H
#define PT_METHOD_H

#include <stdbool.h>
#include <stdint.h>

#include "nn/pt_error.h"

enum pt_method_kind {
    PT_INFER = 0,        /* static scales, nothing learns */
    PT_NITI_DYNAMIC = 1, /* weights learn; scales from the range of each tensor */
    PT_NITI_STATIC = 2,  /* weights learn; calibrated scales */
    PT_PRIOT = 3,        /* a score per edge learns; calibrated scales */
    PT_PRIOT_S = 4,      /* scores of a chosen share of the edges learn */
    /* Nothing learns (docs/numerics.md, section 16): */
    PT_FISHER = 5,       /* how much each row would */
    PT_PROTOTYPE = 6,    /* means of the classes, for a new head */
    PT_METHOD_KINDS
};

enum pt_selection { PT_SELECT_RANDOM = 0, PT_SELECT_WEIGHT = 1, PT_SELECTIONS };

enum pt_start { PT_START_ZERO = 0, PT_START_NORMAL = 1, PT_STARTS };

enum pt_mu_limit { PT_MIN_MU = -8, PT_MAX_MU = 7 };

enum pt_easy_limit { PT_MAX_EASY = 4095 };

/*
 * Fields that a kind does not use may hold anything: mu and easy where nothing learns from an
 * error, threshold, start and seed without scores, permille and selection but for PRIOT-S, seed
 * where neither a start nor a selection draws.
 */
struct pt_method {
    uint32_t kind;      /* enum pt_method_kind */
    int32_t mu;         /* step size: update shift = range bits - mu */
    int32_t threshold;  /* of PRIOT and PRIOT-S, -127..127 */
    uint32_t permille;  /* PRIOT-S: scored share of the network's edges, 1..1000 */
    uint32_t selection; /* PRIOT-S: enum pt_selection */
    uint32_t start;     /* PRIOT, PRIOT-S: enum pt_start */
    uint32_t seed;
    uint32_t easy;      /* an image whose loss norm is at most this teaches nothing, 0..4095 */
};

/* Checks every field that the kind uses: PT_ERR_ARGUMENT with {its index in the struct, value,
 * least, most} of the first bad one. */
int pt_method_check(const struct pt_method *method, struct pt_detail *detail);

/* The same of a step size alone. */
int pt_method_check_mu(int32_t mu, struct pt_detail *detail);

/* The same method with 0 in every field that it does not use, so that two that do the same are the
 * same bytes. */
struct pt_method pt_method_bare(const struct pt_method *method);

/* Whether it takes images with their labels. */
static inline bool pt_method_trains(const struct pt_method *method)
{
    return method->kind != PT_INFER;
}

/* Whether a step goes on behind the prediction. */
static inline bool pt_method_backward(const struct pt_method *method)
{
    return method->kind != PT_INFER && method->kind != PT_PROTOTYPE;
}

static inline bool pt_method_weights(const struct pt_method *method)
{
    return method->kind == PT_NITI_DYNAMIC || method->kind == PT_NITI_STATIC;
}

static inline bool pt_method_scores(const struct pt_method *method)
{
    return method->kind == PT_PRIOT || method->kind == PT_PRIOT_S;
}

/* Whether a step changes something. */
static inline bool pt_method_learns(const struct pt_method *method)
{
    return pt_method_weights(method) || pt_method_scores(method);
}

/* Whether a selection of rows says what it trains. */
static inline bool pt_method_selects(const struct pt_method *method)
{
    return pt_method_weights(method) || method->kind == PT_PRIOT;
}

#endif
