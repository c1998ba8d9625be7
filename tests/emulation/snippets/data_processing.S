    .include "snippet.inc"
    SNIPPET
    movs r0, #200               @ 1
    movs r1, r0                 @ 1
    mov r8, r1                  @ 1  high register
    add r0, r8                  @ 1
    cmp r8, r0                  @ 1
    adds r2, r0, r1             @ 1
    subs r2, r2, #3             @ 1
    adds r2, #77                @ 1
    subs r2, r2, r1             @ 1
    lsls r3, r2, #4             @ 1
    lsrs r3, r3, #1             @ 1
    asrs r3, r3, #2             @ 1
    lsls r3, r0                 @ 1
    rors r3, r1                 @ 1
    ands r3, r0                 @ 1
    eors r3, r1                 @ 1
    orrs r3, r2                 @ 1
    bics r3, r0                 @ 1
    mvns r3, r3                 @ 1
    rsbs r3, r3, #0             @ 1
    adcs r3, r0                 @ 1
    sbcs r3, r1                 @ 1
    tst r3, r0                  @ 1
    cmp r3, #5                  @ 1
    cmp r3, r2                  @ 1
    cmn r3, r2                  @ 1
    sxtb r4, r3                 @ 1
    sxth r4, r3                 @ 1
    uxtb r4, r3                 @ 1
    uxth r4, r3                 @ 1
    rev r4, r3                  @ 1
    rev16 r4, r3                @ 1
    revsh r4, r3                @ 1
    adr r5, snippet_end         @ 1
    add r6, sp, #16             @ 1
    sub sp, #24                 @ 1
    add sp, #24                 @ 1
    nop                         @ 1
    bx lr                       @ 2
    END 40
