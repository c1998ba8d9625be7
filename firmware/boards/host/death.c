#define _GNU_SOURCE /* for the names of registers */

#include "boards/host/death.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include "app/pt_app.h"

enum { STACK = 65536 };

static struct pt_host_death *record;

/* As of a function that has used up the stack itself. */
static _Alignas(64) uint8_t stack[STACK];

static void on_signal(int number, siginfo_t *info, void *context)
{
    const ucontext_t *at = context;
    record->signal = number;
    record->code = info->si_code;
    record->address = (uint64_t)(uintptr_t)info->si_addr;
    record->anchor = (uint64_t)(uintptr_t)pt_app_serve;
#if defined(__linux__) && defined(__x86_64__)
    record->pc = (uint64_t)at->uc_mcontext.gregs[REG_RIP];
    record->sp = (uint64_t)at->uc_mcontext.gregs[REG_RSP];
#elif defined(__linux__) && defined(__aarch64__)
    record->pc = at->uc_mcontext.pc;
    record->sp = at->uc_mcontext.sp;
#else
    (void)at;
#endif
    record->magic = PT_HOST_DEATH_MAGIC;
    (void)raise(number); /* on return, and by SA_RESETHAND as if nobody had looked */
}

void pt_host_watch(struct pt_host_death *death)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof stack, .ss_flags = 0};
    struct sigaction action;
    record = death;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND;
    (void)sigaltstack(&own, NULL);
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; ++i) {
        (void)sigaction(deadly[i], &action, NULL);
    }
}
