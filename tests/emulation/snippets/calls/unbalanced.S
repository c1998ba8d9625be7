@ A return to nowhere known, which stays in its node, and one over two frames.
    .include "snippet.inc"
    SNIPPET
    push {r4, lr}               @ 1 + 2
    mov r7, sp                  @ 1
    bl skipper                  @ 3
2:  pop {r4, pc}                @ 3 + 2: 12 in all
    .global skipper, deeper, loose
    .thumb_func
    .type skipper, %function
skipper:
    mov r6, lr                  @ 1
    bl deeper                   @ 3: 4 in all
    nop
    .thumb_func
    .type deeper, %function
deeper:
    adr r0, loose               @ 1
    adds r0, #1                 @ 1
    mov lr, r0                  @ 1
    bx lr                       @ 2  to no return address
    .balign 4
loose:
    mov lr, r6                  @ 1
    bx lr                       @ 2  past skipper: 8 in all
    END 12 + 4 + 8
