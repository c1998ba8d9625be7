@ A triangle: the inner loop runs 10, 9, ... 1 times, so each branch goes both ways often.
    .include "snippet.inc"
    SNIPPET .sram_code
    movs r0, #10                @ 1
1:  movs r1, r0                 @ 1, 10 times
2:  lsrs r2, r1, #1             @ 1, 55 times
    bcc 3f                      @ 1, 55 times, and 1 more for the 25 even r1
    nop                         @ 1, 30 times
3:  subs r1, #1                 @ 1, 55 times
    bne 2b                      @ 1, 55 times, and 1 more 45 times
    subs r0, #1                 @ 1, 10 times
    bne 1b                      @ 1, 10 times, and 1 more 9 times
    bx lr                       @ 2
    END 1 + 10 + 55 + 55 + 25 + 30 + 55 + 55 + 45 + 10 + 10 + 9 + 2
