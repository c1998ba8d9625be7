@ 32-bit instructions that end with a page, and that straddle its end.
    .include "snippet.inc"
    SNIPPET
    mov r7, lr                  @ 1
    b 1f                        @ 2
    .space 1024 - 4 - 6
1:  nop                         @ 1
    dsb                         @ 3  its last halfword is the page's last
    nop                         @ 1
    b 2f                        @ 2
    .space 1024 - 4 - 4
2:  nop                         @ 1
    bl leaf                     @ 3  half in this page, half in the next
    bx r7                       @ 2
    .thumb_func
    .type leaf, %function
leaf:
    nop                         @ 1
    bx lr                       @ 2
    END 19
