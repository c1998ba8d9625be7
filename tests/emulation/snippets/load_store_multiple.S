    .include "snippet.inc"
    SNIPPET
    ldr r0, =scratch            @ 2
    movs r1, #1                 @ 1
    movs r2, #2                 @ 1
    stmia r0!, {r1}             @ 1 + 1
    stmia r0!, {r1, r2}         @ 1 + 2
    stmia r0!, {r1-r7}          @ 1 + 7
    ldr r0, =scratch            @ 2
    ldmia r0!, {r4}             @ 1 + 1
    ldmia r0!, {r4, r6}         @ 1 + 2
    ldmia r0, {r0-r7}           @ 1 + 8
    bx lr                       @ 2
    END 35
