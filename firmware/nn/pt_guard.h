/*
 * Sums over memory that must not change by itself, so that a flipped bit is found before it is
 * trusted.
 *
 *   pt_guard_take    what is there now is right: after whatever may have changed it
 *   pt_guard_check   is it still: before it is used, and whenever one likes to know
 *
 * The regions of a trainer:
 *
 *   PT_REGION_TRAINER  its settings, plan and pointers; not what a step has in work, and not the
 *                      counts of saturation. Some 4 KB, by pt_sum
 *   PT_REGION_MODEL    the blob, and a head that was made, but for weights that the method trains:
 *                      by CRC-32, so as dear as the blob is large; the description of the network
 *                      by pt_sum too, which is always checked
 *   PT_REGION_LEARNT   weights that the method trains, scores and their index, and what PT_FISHER
 *                      and PT_PROTOTYPE gather: by pt_sum, because each step changes it
 *
 * But for the model's part (PT_GUARD_MODEL) nothing outside of pt_guard.c and pt_sum.c runs, so a
 * profile can leave their cycles out.
 *
 * Nothing here finds a flip in what a step reads and writes while it runs: the sum that is taken
 * after it is that of the result, whatever it is.
 */
#ifndef PT_GUARD_H
#define PT_GUARD_H

#include <stdint.h>

#include "nn/pt_error.h"
#include "nn/pt_trainer.h"

/* What a refusal with PT_ERR_DAMAGED names. */
enum pt_region {
    PT_REGION_TRAINER = 0,
    PT_REGION_MODEL = 1,
    PT_REGION_LEARNT = 2,
    /* Of the program (app/pt_app_guard.h): */
    PT_REGION_CODE = 3,    /* instructions and constants, as the image has them */
    PT_REGION_STACK = 4,   /* the last word of the stack was written */
    PT_REGION_MAILBOX = 5, /* its head and windows, and what the board said of its memory */
    PT_REGIONS
};

enum pt_guard_parts {
    PT_GUARD_TRAINER = 1 << PT_REGION_TRAINER,
    PT_GUARD_MODEL = 1 << PT_REGION_MODEL,
    PT_GUARD_LEARNT = 1 << PT_REGION_LEARNT,
    PT_GUARD_ALL = PT_GUARD_TRAINER | PT_GUARD_MODEL | PT_GUARD_LEARNT,
};

struct pt_guard {
    uint32_t trained[(PT_MAX_LAYERS + 31) / 32]; /* a bit for each layer whose weights train */
    uint32_t trainer;
    uint32_t layers; /* of the description, so that a damaged one is not believed */
    uint32_t description;
    uint32_t model;
    uint32_t learnt;
};

/* The trainer may be in any state. */
void pt_guard_take(struct pt_guard *guard, const struct pt_trainer *trainer, uint32_t parts);

/*
 * PT_ERR_DAMAGED with {region, sum found, sum taken} of the first part that changed since it was
 * taken. The trainer's own comes first, whether it is among the parts or not: it says where the
 * others lie.
 */
int pt_guard_check(const struct pt_guard *guard, const struct pt_trainer *trainer, uint32_t parts,
                   struct pt_detail *detail);

#endif
