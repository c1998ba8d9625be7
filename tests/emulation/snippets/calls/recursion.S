@ A function that calls itself to a depth of 3.
    .include "snippet.inc"
    SNIPPET
    push {r4, lr}               @ 1 + 2
    movs r0, #3                 @ 1
    bl down                     @ 3
    pop {r4, pc}                @ 3 + 2: 12 in all
    .global down
    .thumb_func
    .type down, %function
down:
    push {r4, lr}               @ 1 + 2
    subs r0, #1                 @ 1
    beq 1f                      @ 1, and 1 more in the innermost
    bl down                     @ 3, not in the innermost
1:  pop {r4, pc}                @ 3 + 2: 13, 13, 11
    END 12 + 13 + 13 + 11
