/*
 * memcpy for boards without a C library: 13 cycles for 16 bytes, where both are on a word boundary.
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

/*
 * r0 to  r1 from  r2 bytes left  r3-r6 those between  ip what r0 was
 */
    .section .text.memcpy, "ax", %progbits
    .global memcpy
    .type memcpy, %function
    .balign 4
    .thumb_func
memcpy:
    push {r4-r6, lr}
    mov ip, r0
    movs r3, r0
    orrs r3, r1
    lsls r3, #30
    bne 3f
    subs r2, #16
    blo 2f
1:
    ldm r1!, {r3-r6}            /* 5 */
    stm r0!, {r3-r6}            /* 5 */
    subs r2, #16                /* 1 */
    bhs 1b                      /* 2 */
2:                              /* the last four bits of r2 are what is left */
    lsls r2, #29                /* carry: 8 bytes */
    bcc 1f
    ldm r1!, {r3, r4}
    stm r0!, {r3, r4}
1:
    lsls r2, #1                 /* 4; in r2, then, bytes << 30 */
    bcc 1f
    ldm r1!, {r3}
    stm r0!, {r3}
1:
    lsrs r2, #30
3:
    subs r2, #1                 /* 1 */
    blo 5f
4:
    ldrb r3, [r1, r2]           /* 2 */
    strb r3, [r0, r2]           /* 2 */
    subs r2, #1                 /* 1 */
    bhs 4b                      /* 2 */
5:
    mov r0, ip
    pop {r4-r6, pc}
    .size memcpy, . - memcpy
    .global __stack_memcpy
    .set __stack_memcpy, 16
