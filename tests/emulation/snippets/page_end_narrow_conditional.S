@ A B<cond> in the last halfword of a page, once taken and once not.
    .include "snippet.inc"
    SNIPPET .sram_code
    movs r0, #2                 @ 1
    b 1f                        @ 2
    .space 1024 - 4 - 6
1:  nop                         @ 1, twice
    subs r0, #1                 @ 1, twice
    bne 1b                      @ 1, twice, and 1 more once
    bx lr                       @ 2
    END 1 + 2 + 2 + 2 + 3 + 2
