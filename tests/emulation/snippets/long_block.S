@ Longer than QEMU's largest block and than a page.
    .include "snippet.inc"
    SNIPPET
    .rept 700
    movs r0, #1                 @ 1, 700 times
    .endr
    bx lr                       @ 2
    END 702
