/*
 * What a process that a signal kills leaves in the memory that it shares with the harness. Of one
 * that is killed without a word (SIGKILL) only its mailbox and application are left.
 */
#ifndef PT_HOST_DEATH_H
#define PT_HOST_DEATH_H

#include <stdint.h>

enum pt_host_death_format { PT_HOST_DEATH_MAGIC = 0x48544450 };

struct pt_host_death {
    uint32_t magic;    /* PT_HOST_DEATH_MAGIC: the rest holds */
    int32_t signal;
    int32_t code;      /* si_code: 0 and less are of a signal that was sent */
    uint32_t zero;
    uint64_t pc;       /* 0 on machines whose registers are not known here */
    uint64_t sp;
    uint64_t address;  /* that an access asked for */
    uint64_t anchor;   /* where pt_app_serve lies in this process */
};

/* From here on signals that kill write there first. Not in a sanitized build, which tells more. */
void pt_host_watch(struct pt_host_death *death);

#endif
