    .include "snippet.inc"
    SNIPPET
    mov r7, lr                  @ 1
    b 1f                        @ 2
    nop
1:  bl leaf                     @ 3
    adr r0, 2f                  @ 1
    adds r0, #1                 @ 1
    bx r0                       @ 2
    .balign 4
2:  ldr r1, =leaf               @ 2
    blx r1                      @ 2
    adr r0, 3f                  @ 1
    mov pc, r0                  @ 2
    .balign 4
3:  movs r0, #4                 @ 1
    add pc, r0                  @ 2  to this instruction + 4 + 4
    nop
    nop
    nop
    bx r7                       @ 2
    .thumb_func
    .type leaf, %function
leaf:
    nop                         @ 1, twice
    bx lr                       @ 2, twice
    END 28
