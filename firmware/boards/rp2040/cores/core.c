/*
 * Core 1 of the RP2040. It waits for jobs, asleep, with no interrupt enabled; all of it in SRAM.
 */
#include "kernels/parallel/pt_core.h"

#include "boards/rp2040/rp2040.h"
#include "kernels/pt_memory.h"

enum { STACK_WORDS = 512, POLLS = 10000, TRIES = 4 };

static _Alignas(8) uint32_t stack[STACK_WORDS];

static void send(uint32_t word)
{
    PT_REGISTER(SIO_FIFO_WR) = word; /* there is room: the other core has taken what came before */
    __asm__ volatile("sev" ::: "memory");
}

static bool arrived(void)
{
    return (PT_REGISTER(SIO_FIFO_ST) & SIO_FIFO_ST_VLD) != 0u;
}

static uint32_t take(void)
{
    while (!arrived()) {
        __asm__ volatile("wfe" ::: "memory");
    }
    return PT_REGISTER(SIO_FIFO_RD);
}

static _Noreturn void serve(void)
{
    for (;;) {
        void (*work)(void *) = (void (*)(void *))(uintptr_t)take();
        void *argument = (void *)(uintptr_t)take();
        work(argument);
        __asm__ volatile("dmb" ::: "memory");
        send(0);
    }
}

/* Core 1's boot ROM answers each word with the same (datasheet 2.8.2). */
static bool told(uint32_t word)
{
    while (arrived()) {
        (void)PT_REGISTER(SIO_FIFO_RD); /* of a word that nobody waited for */
    }
    send(word);
    for (uint32_t i = 0; i < POLLS; ++i) {
        if (arrived()) {
            return PT_REGISTER(SIO_FIFO_RD) == word;
        }
    }
    return false;
}

static bool start(void)
{
    const uint32_t words[] = {
        0, 0, 1, PT_REGISTER(VTOR), (uint32_t)(uintptr_t)(stack + STACK_WORDS),
        (uint32_t)(uintptr_t)serve,
    };
    const uint32_t count = sizeof words / sizeof *words;
    memset(stack, 0, sizeof stack); /* shows how deep it was; start-up does not clear it */
    for (uint32_t i = 0; i < TRIES; ++i) {
        uint32_t next = 0;
        while (next < count && told(words[next])) {
            ++next;
        }
        if (next == count) {
            return true;
        }
    }
    return false;
}

bool pt_core_ready(void)
{
    static enum { ASLEEP, READY, ABSENT } core;
    if (core == ASLEEP) {
        core = start() ? READY : ABSENT;
    }
    return core == READY;
}

void pt_core_post(void (*work)(void *argument), void *argument)
{
    PT_REGISTER(SIO_FIFO_WR) = (uint32_t)(uintptr_t)work;
    __asm__ volatile("dmb" ::: "memory");
    send((uint32_t)(uintptr_t)argument);
}

void pt_core_join(void)
{
    (void)take();
    __asm__ volatile("dmb" ::: "memory");
}

uint32_t pt_core_cut(uint32_t count)
{
    return count / 2u;
}
