    .include "snippet.inc"
    SNIPPET
    movs r0, #0                 @ 1
    beq 1f                      @ 1 + 1
    nop
1:  bne 1f                      @ 1
    bmi 1f                      @ 1
    bpl 2f                      @ 1 + 1
1:  nop
2:  cmp r0, #1                  @ 1
    bcs 3f                      @ 1
    bcc 4f                      @ 1 + 1
3:  nop
4:  blt 5f                      @ 1 + 1
    nop
5:  bge 6f                      @ 1
    bgt 6f                      @ 1
    ble 7f                      @ 1 + 1
6:  nop
7:  bls 8f                      @ 1 + 1
    nop
8:  bhi 9f                      @ 1
    bvs 9f                      @ 1
    bvc 10f                     @ 1 + 1
9:  nop
10: bx lr                       @ 2
    END 25
