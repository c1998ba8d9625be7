@ The first instruction of `victim` is a NOP, then a load: one block each at the same address.
    .include "snippet.inc"
    SNIPPET .sram_code
    mov r7, lr                  @ 1
    ldr r3, =scratch            @ 2
    adr r0, victim              @ 1
    ldr r1, =0xbf00             @ 2  nop
    ldr r2, =0x681b             @ 2  ldr r3, [r3]
    strh r1, [r0]               @ 2
    bl victim                   @ 3 + 1 + 2
    bl victim                   @ 3 + 1 + 2
    strh r2, [r0]               @ 2
    bl victim                   @ 3 + 2 + 2
    bx r7                       @ 2
    .balign 4
    .thumb_func
    .type victim, %function
    .global victim
victim:
    nop
    bx lr
    END 33
