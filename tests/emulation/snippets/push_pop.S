    .include "snippet.inc"
    SNIPPET
    push {r4}                   @ 1 + 1
    pop {r4}                    @ 1 + 1
    push {r0-r7}                @ 1 + 8
    pop {r0-r7}                 @ 1 + 8
    push {r4, lr}               @ 1 + 2
    bl inner                    @ 3
    push {lr}                   @ 1 + 1
    pop {r3}                    @ 1 + 1
    push {r4-r7, lr}            @ 1 + 5
    pop {r4-r7}                 @ 1 + 4
    pop {r3}                    @ 1 + 1
    pop {r4, pc}                @ 3 + 2
    .thumb_func
inner:
    push {lr}                   @ 1 + 1
    pop {pc}                    @ 3 + 1
    END 56
