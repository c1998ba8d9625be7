/*
 * The inner loop of the tuned requantisation (pt_requantize_inner.h). Cycles stand beside the
 * instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"
#include "kernels/pt_skips.h"

    .equ JOB_ACCUMULATOR, 0
    .equ JOB_OUTPUT, 4
    .equ JOB_END, 8
    .equ JOB_SHIFT, 12
    .equ JOB_HALF, 16
    .equ JOB_LEAST, 20
    .equ JOB_ABOVE, 24
    .equ JOB_BELOW, 28

/* One of four elements; the code behind the loop goes on at \name where it is out of range. */
.macro requantize name, value, at
    add \value, r8              /* 1 */
    asrs \value, r2             /* 1 */
    movs r3, \value             /* 1 */
    add r3, r9                  /* 1 */
    cmp r3, r10                 /* 1 */
    bhi clamp_\name             /* 1 */
\name:
    strb \value, [r1, #\at]     /* 2 */
.endm

/*
 * Out of range: less than `least` where r3 is negative, as no sum comes near 2^31. A ReLU's zero
 * needs no count.
 */
.macro clamp_element name, value
clamp_\name:
    cmp r3, #0                  /* 1 */
    bge 4f                      /* 1 */
    mov \value, r9              /* 1 */
    rsbs \value, \value, #0     /* 1 */
    beq \name                   /* 2 */
    movs r3, #JOB_BELOW
    b 5f
4:
    movs \value, #127
    movs r3, #JOB_ABOVE
5:
    add r3, r11
    push {r4}
    ldr r4, [r3]
    adds r4, #1
    str r4, [r3]
    pop {r4}
    b \name
.endm

/*
 * Four elements at once: 46 cycles, 19 where all of them are 0.
 *   r0 accumulator  r1 output  r2 shift  r3 scratch  r4-r7 four elements  r8 half  r9 -least
 *   r10 127 - least  r11 job  r12 end
 */
    start_function pt_requantize_words
    save_all
    mov r11, r0
    ldr r1, [r0, #JOB_END]
    mov r12, r1
    ldr r1, [r0, #JOB_HALF]
    mov r8, r1
    ldr r1, [r0, #JOB_LEAST]
    rsbs r1, r1, #0
    mov r9, r1
    adds r1, #127
    mov r10, r1
    ldr r1, [r0, #JOB_OUTPUT]
    ldr r2, [r0, #JOB_SHIFT]
    ldr r0, [r0, #JOB_ACCUMULATOR]
1:
    ldm r0!, {r4-r7}            /* 5 */
#if PT_SKIP_ZEROS
    movs r3, r4                 /* 1 */
    orrs r3, r5                 /* 1 */
    orrs r3, r6                 /* 1 */
    orrs r3, r7                 /* 1 */
    beq 3f                      /* 1, 2 */
#endif
    requantize first, r4, 0     /* 8 */
    requantize second, r5, 1
    requantize third, r6, 2
    requantize fourth, r7, 3
2:
    adds r1, #4                 /* 1 */
    cmp r1, r12                 /* 1 */
    bne 1b                      /* 2 */
    restore_all
3:
    str r3, [r1]                /* 2 */
    b 2b                        /* 2 */

    clamp_element first, r4
    clamp_element second, r5
    clamp_element third, r6
    clamp_element fourth, r7
    .size pt_requantize_words, . - pt_requantize_words
    .global __stack_pt_requantize_words
    .set __stack_pt_requantize_words, 40
