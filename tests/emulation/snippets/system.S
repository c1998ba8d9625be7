    .include "snippet.inc"
    SNIPPET
    mrs r0, primask             @ 3
    cpsid i                     @ 1
    dsb                         @ 3
    isb                         @ 3
    cpsie i                     @ 1
    dmb                         @ 3
    msr primask, r0             @ 3
    mrs r1, apsr                @ 3
    msr apsr_nzcvq, r1          @ 3
    mrs r2, msp                 @ 3
    sev                         @ 1
    yield                       @ 1
    bx lr                       @ 2
    END 30
