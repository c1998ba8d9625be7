/*
 * The inner loop of the tuned addition (pt_affine_add_inner.h). Cycles stand beside the
 * instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"

    .equ WORDS_OUTPUT, 0
    .equ WORDS_DOUBT, 28
    .equ WORDS_FULL, 80 /* behind the PT_ADD_DOUBTS-th doubt */

/* Element \at of both words, which the caller puts into r3 and r4. */
.macro add_element at, doubt, far, back, next
    muls r3, r0                 /* 1 */
    muls r4, r1                 /* 1 */
    adds r3, r4                 /* 1 */
    add r3, r8                  /* 1 */
    tst r3, r2                  /* 1 */
    beq \doubt                  /* 1 */
    asrs r3, #21                /* 1 */
    sxtb r4, r3                 /* 1 */
    cmp r4, r3                  /* 1 */
    bne \far                    /* 1 */
\back:
    strb r3, [r7, #\at]         /* 2 */
\next:
.endm

.macro add_far back
    asrs r3, #31
    movs r4, #127
    eors r3, r4
    b \back
.endm

.macro add_doubt at, next
    adds r3, r7, #\at
    bl note_doubt
    b \next
.endm

/*
 * 17.5 cycles for an element.
 *   r0 weight of a  r1 of b  r2 bits of the fraction above the zone  r3, r4 scratch  r5 a word of a
 *   r6 of b  r7 output  r8 start  r9 from an output to a  r10 to b  r11 doubts  r12 end  [sp] job
 */
    start_function pt_affine_add_words
    save_all
    push {r0}
    ldm r0!, {r4-r7}
    subs r5, r4
    subs r6, r4
    mov r9, r5
    mov r10, r6
    mov r12, r7
    movs r7, r4
    ldm r0!, {r1, r2, r3, r4}
    mov r8, r3
    mov r11, r4
    movs r0, r1
    movs r1, r2
    ldr r2, =0x1ffc00
1:
    mov r5, r9                  /* 1 */
    ldr r5, [r5, r7]            /* 2 */
    mov r6, r10                 /* 1 */
    ldr r6, [r6, r7]            /* 2 */
    sxtb r3, r5                 /* 1 */
    sxtb r4, r6                 /* 1 */
    add_element 0, 20f, 30f, 10, 40
    lsls r3, r5, #16            /* 1 */
    asrs r3, #24                /* 1 */
    lsls r4, r6, #16            /* 1 */
    asrs r4, #24                /* 1 */
    add_element 1, 21f, 31f, 11, 41
    lsls r3, r5, #8             /* 1 */
    asrs r3, #24                /* 1 */
    lsls r4, r6, #8             /* 1 */
    asrs r4, #24                /* 1 */
    add_element 2, 22f, 32f, 12, 42
    asrs r3, r5, #24            /* 1 */
    asrs r4, r6, #24            /* 1 */
    add_element 3, 23f, 33f, 13, 43
    adds r7, #4                 /* 1 */
    cmp r7, r12                 /* 1 */
    bne 1b                      /* 2 */
    pop {r0}
    mov r4, r11
    str r4, [r0, #WORDS_DOUBT]
    str r7, [r0, #WORDS_OUTPUT]
    restore_all
30:
    add_far 10b
31:
    add_far 11b
32:
    add_far 12b
33:
    add_far 13b
20:
    add_doubt 0, 40b
21:
    add_doubt 1, 41b
22:
    add_doubt 2, 42b
23:
    add_doubt 3, 43b

    /* r3, an address, to the doubts; these words are the last where the doubts are full. */
note_doubt:
    mov r4, r11
    stm r4!, {r3}
    mov r11, r4
    ldr r3, [sp]
    adds r3, #WORDS_FULL
    cmp r4, r3
    bls 2f
    adds r3, r7, #4
    mov r12, r3
2:
    bx lr
    .balign 4
    .ltorg
    .size pt_affine_add_words, . - pt_affine_add_words
    .global __stack_pt_affine_add_words
    .set __stack_pt_affine_add_words, 40
