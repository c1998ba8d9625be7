@ QEMU ends a block at the end of a 1 KiB page. Here four instructions stand before it.
    .include "snippet.inc"
    SNIPPET
    b 1f                        @ 2
    .space 1024 - 2 - 8
1:  movs r0, #1                 @ 1
    movs r1, #2                 @ 1
    adds r0, r1                 @ 1
    muls r0, r1, r0             @ 1  last of its page
    adds r0, r1                 @ 1  first of the next
    adds r0, r1                 @ 1
    bx lr                       @ 2
    END 10
