    .include "snippet.inc"
    SNIPPET
    ldr r0, =scratch            @ 2  literal
    movs r1, #8                 @ 1
    str r1, [r0, #4]            @ 2
    str r1, [r0, r1]            @ 2
    strh r1, [r0, #2]           @ 2
    strh r1, [r0, r1]           @ 2
    strb r1, [r0, #1]           @ 2
    strb r1, [r0, r1]           @ 2
    ldr r2, [r0, #4]            @ 2
    ldr r2, [r0, r1]            @ 2
    ldrh r2, [r0, #2]           @ 2
    ldrh r2, [r0, r1]           @ 2
    ldrb r2, [r0, #1]           @ 2
    ldrb r2, [r0, r1]           @ 2
    ldrsh r2, [r0, r1]          @ 2
    ldrsb r2, [r0, r1]          @ 2
    sub sp, #8                  @ 1
    str r1, [sp, #4]            @ 2
    ldr r1, [sp, #4]            @ 2
    add sp, #8                  @ 1
    bx lr                       @ 2
    END 39
