@ A tail call stays in the node of its caller; its return is the caller's. Also BX as a return by
@ another register, and a BL over the end of a 1 KiB page.
    .include "snippet.inc"
    SNIPPET
    push {r4, lr}               @ 1 + 2
    bl front                    @ 3
    bl other                    @ 3
    pop {r4, pc}                @ 3 + 2: 14 in all
    .global front, other, behind
    .thumb_func
    .type front, %function
front:
    nop                         @ 1
    b behind                    @ 2
    .thumb_func
    .type behind, %function
behind:
    nop                         @ 1
    bx lr                       @ 2: 6 in all
    .balign 1024
    .space 1024 - 6
    .thumb_func
    .type other, %function
other:
    push {lr}                   @ 1 + 1
    nop                         @ 1
    bl behind                   @ 3, its second half in the next page
    pop {r3}                    @ 1 + 1
    bx r3                       @ 2: 10 in all
    END 14 + 6 + 10 + 3
