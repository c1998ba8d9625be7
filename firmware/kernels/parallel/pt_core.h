/*
 * The other core, as a board of two has it: it takes one job at a time, and sleeps without one.
 * Core 0 alone calls these. What it wrote before a post, the job sees; what the job wrote, core 0
 * sees after the join.
 */
#ifndef PT_CORE_H
#define PT_CORE_H

#include <stdbool.h>
#include <stdint.h>

/* Starts the other core, once. False where it does not answer: then it is never posted to. */
bool pt_core_ready(void);

/* The other core calls work(argument). Only when it is ready, and the job before was joined. */
void pt_core_post(void (*work)(void *argument), void *argument);

/* Returns when that job is done, asleep meanwhile. */
void pt_core_join(void);

/*
 * Where to cut `count` equal parts, 2 or more: so many for core 0, at least one for each. Half, but
 * a board may be asked to cut anywhere, to show that no result depends on it.
 */
uint32_t pt_core_cut(uint32_t count);

#endif
