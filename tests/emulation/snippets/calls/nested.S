@ Nested calls, and one function called from two places.
    .include "snippet.inc"
    SNIPPET
    push {r4, lr}               @ 1 + 2
    movs r4, #3                 @ 1
1:  bl outer                    @ 3, 3 times
    subs r4, #1                 @ 1, 3 times
    bne 1b                      @ 1, 3 times, and 1 more twice
    bl leaf                     @ 3
    ldr r0, =leaf               @ 2
    blx r0                      @ 2
    pop {r4, pc}                @ 3 + 2: 33 in all
    .global outer, leaf, second
    .thumb_func
    .type outer, %function
outer:
    push {lr}                   @ 1 + 1
    bl leaf                     @ 3
    nop                         @ 1
    bl leaf                     @ 3
    pop {pc}                    @ 3 + 1: 13 a call
    .thumb_func
    .type leaf, %function
leaf:
    movs r0, #1                 @ 1
    cmp r0, #1                  @ 1
    beq 1f                      @ 1 + 1
    nop
1:  bx lr                       @ 2: 6 a call
    END 33 + 3 * 13 + 8 * 6
