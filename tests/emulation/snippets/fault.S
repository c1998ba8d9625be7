@ No count: an unaligned load, which ARMv6-M refuses.
    .include "snippet.inc"
    SNIPPET
    movs r0, #1
    mov r4, r0
faulting:
    ldr r1, [r0]
    bx lr
    .global faulting
    END 0
