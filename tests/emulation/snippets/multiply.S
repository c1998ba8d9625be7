    .include "snippet.inc"
    SNIPPET
    movs r0, #7                 @ 1
    movs r1, #9                 @ 1
    muls r0, r1, r0             @ 1  the single-cycle multiplier
    muls r1, r0, r1             @ 1
    muls r0, r1, r0             @ 1
    bx lr                       @ 2
    END 7
