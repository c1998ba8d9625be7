    .include "snippet.inc"
    SNIPPET
    ldr r0, =1000               @ 2
    movs r1, #0                 @ 1
1:  adds r1, r0                 @ 1, 1000 times
    subs r0, #1                 @ 1, 1000 times
    bne 1b                      @ 1, 1000 times, and 1 more 999 times
    bx lr                       @ 2
    END 2 + 1 + 3000 + 999 + 2
