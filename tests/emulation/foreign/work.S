/*
 * A program that is not ours: three CRC-32s and an insertion sort, in assembly. The cycles of each
 * instruction are by hand from the manual's table (docs/cycle-model.md), their sums too:
 *
 *   crc32 of n bytes   71 n + 16: 655 of 9, 1,294 of 18, 1,933 of 27; 3,882 of all three
 *   sort               245
 *   start              146
 *   from reset to done 4,273
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .section .vectors, "a"
    .word stack_top
    .word start
    .word wrong             @ NMI
    .word wrong             @ HardFault

    .text

/* 3 + 3 rounds of 14, less 1, + 4 + 20 + 6 + 3 + 7 checks of 10, less 1 = 146 */
    .thumb_func
    .type start, %function
    .global start, done
start:
    movs r5, #9             @ 1
    ldr r4, =answers        @ 2
1:
    ldr r0, =text           @ 2
    mov r1, r5              @ 1
    bl crc32                @ 3
    ldmia r4!, {r1}         @ 1 + 1
    cmp r0, r1              @ 1
    bne wrong               @ 1
    adds r5, #9             @ 1
    cmp r5, #36             @ 1
    bne 1b                  @ 2, the last time 1
    ldr r0, =unsorted       @ 2
    ldr r1, =sorted         @ 2
    ldmia r0!, {r2, r3, r6, r7} @ 1 + 4
    stmia r1!, {r2, r3, r6, r7} @ 1 + 4
    ldmia r0!, {r2, r3, r6, r7} @ 1 + 4
    stmia r1!, {r2, r3, r6, r7} @ 1 + 4
    ldr r0, =sorted         @ 2
    movs r1, #8             @ 1
    bl sort                 @ 3
    ldr r0, =sorted         @ 2
    movs r1, #7             @ 1
2:
    ldr r2, [r0]            @ 2
    ldr r3, [r0, #4]        @ 2
    cmp r2, r3              @ 1
    bgt wrong               @ 1
    adds r0, #4             @ 1
    subs r1, #1             @ 1
    bne 2b                  @ 2, the last time 1
done:
    bkpt #0
    .size start, . - start

    .thumb_func
wrong:
    bkpt #1

/*
 * r0: the CRC-32 of r1 bytes at r0. No bit makes a difference to the cycles: a byte takes
 * 5 + 8 bits of 8, less 1, + 3 = 71, the last one 70; around them 9 + 8.
 */
    .thumb_func
    .type crc32, %function
    .global crc32
crc32:
    push {r4-r6, lr}        @ 1 + 4
    ldr r4, =0xedb88320     @ 2
    movs r2, #0             @ 1
    mvns r2, r2             @ 1
1:
    ldrb r3, [r0]           @ 2
    adds r0, #1             @ 1
    eors r2, r3             @ 1
    movs r3, #8             @ 1
2:
    lsrs r2, r2, #1         @ 1
    sbcs r5, r5             @ 1; 0 where the bit was set, else -1
    movs r6, r4             @ 1
    bics r6, r5             @ 1
    eors r2, r6             @ 1
    subs r3, #1             @ 1
    bne 2b                  @ 2, the last time 1
    subs r1, #1             @ 1
    bne 1b                  @ 2, the last time 1
    mvns r0, r2             @ 1
    pop {r4-r6, pc}         @ 3 + 4
    .size crc32, . - crc32

/*
 * Sorts r1 words at r0. A word that passes s others takes 11 + 10 s, and 5 where a smaller one
 * stops it, or 1 less where it comes to the front. Of 5 -3 9 0 7 -3 12 1 they pass, from the
 * second on, 1 (to the front) 0 2 1 4 0 4, that is 12: 7 * 11 + 120 + 6 * 5 - 1 = 226. Around
 * them 8 + 3 + 8.
 */
    .thumb_func
    .type sort, %function
    .global sort
sort:
    push {r4-r7, lr}        @ 1 + 5
    movs r2, #4             @ 1
    lsls r1, r1, #2         @ 1
1:
    cmp r2, r1              @ 1
    bge 4f                  @ 1, taken 2
    ldr r3, [r0, r2]        @ 2
    subs r4, r2, #4         @ 1
2:
    ldr r5, [r0, r4]        @ 2
    cmp r5, r3              @ 1
    ble 3f                  @ 1, taken 2
    adds r6, r4, #4         @ 1
    str r5, [r0, r6]        @ 2
    subs r4, #4             @ 1
    bpl 2b                  @ 2, at the front 1
3:
    adds r4, #4             @ 1
    str r3, [r0, r4]        @ 2
    adds r2, #4             @ 1
    b 1b                    @ 2
4:
    pop {r4-r7, pc}         @ 3 + 5
    .size sort, . - sort

    .ltorg
    .balign 4
text:
    .ascii "123456789123456789123456789"
    .balign 4
answers:
    .word 0xcbf43926, 0x4b837ae4, 0x4ddf6e59
unsorted:
    .word 5, -3, 9, 0, 7, -3, 12, 1

    .bss
    .balign 8
sorted:
    .space 32
    .space 256
    .global stack_top
stack_top:
