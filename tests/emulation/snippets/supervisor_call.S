@ SVC goes to its handler, and is no branch that may be taken or not.
    .include "snippet.inc"
    SNIPPET
    movs r0, #0                 @ 1
    svc #1                      @ 15: the exception entry
    adds r0, #1                 @ 1
    bx lr                       @ 2
    .global supervisor
    .thumb_func
    .type supervisor, %function
supervisor:
    movs r1, #5                 @ 1
    bx lr                       @ 2
    END 22
