/*
 * The other core of a host process: a thread, which a semaphore wakes.
 *
 * With PICOTRAIN_CORES=SEED in the environment layers are cut anywhere, and either half begins
 * late: at random, by that seed.
 */
#define _POSIX_C_SOURCE 200809L

#include "kernels/parallel/pt_core.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_DELAY_NS = 20000 };

static struct {
    sem_t posted;
    sem_t done;
    void (*work)(void *argument);
    void *argument;
    uint32_t late; /* nanoseconds before the job begins */
} core;

static uint32_t seed; /* 0: half, at once */

/* xorshift32: never 0. */
static uint32_t drawn(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

static void wait_for(sem_t *event)
{
    while (sem_wait(event) != 0) { /* a signal came */
    }
}

static void be_late(uint32_t nanoseconds)
{
    const struct timespec time = {0, (long)nanoseconds};
    if (nanoseconds != 0u) {
        (void)nanosleep(&time, NULL);
    }
}

static void *serve(void *unused)
{
    for (;;) {
        wait_for(&core.posted);
        be_late(core.late);
        core.work(core.argument);
        (void)sem_post(&core.done);
    }
    return unused;
}

static uint32_t seed_of(const char *given)
{
    char *end;
    const unsigned long long found = strtoull(given, &end, 10);
    if (given[0] < '0' || given[0] > '9' || *end != '\0' || found == 0u || found > UINT32_MAX) {
        (void)fprintf(stderr, "picotrain-host: PICOTRAIN_CORES is '%s': use 1 to 4294967295\n",
                      given);
        exit(EXIT_FAILURE);
    }
    return (uint32_t)found;
}

static bool start(void)
{
    const char *given = getenv("PICOTRAIN_CORES");
    pthread_t thread;
    seed = given == NULL ? 0u : seed_of(given);
    if (sem_init(&core.posted, 0, 0) != 0 || sem_init(&core.done, 0, 0) != 0 ||
        pthread_create(&thread, NULL, serve, NULL) != 0) {
        (void)fprintf(stderr, "picotrain-host: no second core: no thread can be made\n");
        exit(EXIT_FAILURE);
    }
    return true;
}

bool pt_core_ready(void)
{
    static bool started;
    started = started || start();
    return true;
}

void pt_core_post(void (*work)(void *argument), void *argument)
{
    core.work = work;
    core.argument = argument;
    core.late = seed != 0u && drawn(2) != 0u ? drawn(MOST_DELAY_NS) : 0u;
    (void)sem_post(&core.posted);
    if (seed != 0u && drawn(2) != 0u) {
        be_late(drawn(MOST_DELAY_NS));
    }
}

void pt_core_join(void)
{
    wait_for(&core.done);
}

uint32_t pt_core_cut(uint32_t count)
{
    return seed == 0u ? count / 2u : 1u + drawn(count - 1u);
}
