/*
 * memset for boards without a C library: 13 cycles for 32 bytes.
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

/*
 * r0 to, stays  r1 value, in every byte  r2 bytes left  r3 at  r4-r6 as r1
 */
    .section .text.memset, "ax", %progbits
    .global memset
    .type memset, %function
    .balign 4
    .thumb_func
memset:
    push {r4-r6, lr}
    uxtb r1, r1
    lsls r3, r1, #8
    orrs r1, r3
    lsls r3, r1, #16
    orrs r1, r3
    movs r5, r1
    movs r6, r1
    movs r3, r0
1:                              /* bytes up to a word boundary */
    lsls r4, r3, #30
    beq 2f
    subs r2, #1
    blo 5f
    strb r1, [r3]
    adds r3, #1
    b 1b
2:
    movs r4, r1
    subs r2, #32
    blo 4f
3:
    stm r3!, {r1, r4-r6}        /* 5 */
    stm r3!, {r1, r4-r6}        /* 5 */
    subs r2, #32                /* 1 */
    bhs 3b                      /* 2 */
4:                              /* the last five bits of r2 are what is left */
    lsls r2, #28                /* carry: 16 bytes */
    bcc 1f
    stm r3!, {r1, r4-r6}
1:
    lsls r2, #1                 /* 8 */
    bcc 1f
    stm r3!, {r1, r4}
1:
    lsls r2, #1                 /* 4 */
    bcc 1f
    stm r3!, {r1}
1:
    lsls r2, #1                 /* 2 */
    bcc 1f
    strh r1, [r3]
    adds r3, #2
1:
    lsls r2, #1                 /* 1 */
    bcc 5f
    strb r1, [r3]
5:
    pop {r4-r6, pc}
    .size memset, . - memset
    .global __stack_memset
    .set __stack_memset, 16
