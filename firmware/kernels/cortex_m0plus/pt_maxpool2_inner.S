/*
 * The inner loop of the tuned max-pool (pt_maxpool2_inner.h). Cycles stand beside the instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"
#include "kernels/pt_skips.h"

    .equ POOLS_WINDOW, 0
    .equ POOLS_OUTPUT, 4
    .equ POOLS_POSITION_END, 8
    .equ POOLS_END, 12
    .equ POOLS_RIGHT, 16
    .equ POOLS_BELOW, 20

/* \a <- the larger of each byte of \a and \b, 0..127; r2 is 0x80808080, r0 and r7 are scratch. */
.macro larger a, b
    movs r7, \a                 /* 1 */
    orrs r7, r2                 /* 1 */
    subs r7, \b                 /* 1 */
    ands r7, r2                 /* 1: the top bit of a byte where a >= b */
    lsrs r0, r7, #7             /* 1 */
    subs r7, r0                 /* 1: 0x7f there */
    eors \a, \b                 /* 1 */
    ands \a, r7                 /* 1 */
    eors \a, \b                 /* 1 */
.endm

/*
 * Four channels of a window: 55 cycles, 23 where all are 0.
 *   r0 window  r1 its lower row  r2 right  r3-r6 elements  r7 or of them  r8 0x80808080
 *   r9 window  r10 end of the position  r11 output  r12 end  lr right
 */
    start_function pt_pool_words
    save_all
    push {r0}
    ldr r1, [r0, #POOLS_OUTPUT]
    mov r11, r1
    ldr r1, [r0, #POOLS_POSITION_END]
    mov r10, r1
    ldr r1, [r0, #POOLS_END]
    mov r12, r1
    ldr r2, [r0, #POOLS_RIGHT]
    mov lr, r2
    ldr r1, [r0, #POOLS_BELOW]
    ldr r3, =0x80808080
    mov r8, r3
    ldr r0, [r0, #POOLS_WINDOW]
    adds r1, r0
    cmp r11, r12
    beq 3f
1:
    ldr r3, [r0]                /* 2 */
    ldr r4, [r0, r2]            /* 2 */
    ldr r5, [r1]                /* 2 */
    ldr r6, [r1, r2]            /* 2 */
    movs r7, r3                 /* 1 */
    orrs r7, r4                 /* 1 */
    orrs r7, r5                 /* 1 */
    orrs r7, r6                 /* 1 */
.if PT_SKIP_ZEROS
    beq 2f                      /* 1, 2 */
.endif
    mov r2, r8                  /* 1 */
    tst r7, r2                  /* 1 */
    bne 3f                      /* 1 */
    mov r9, r0                  /* 1 */
    larger r3, r4               /* 9 */
    larger r5, r6               /* 9 */
    larger r3, r5               /* 9 */
    mov r0, r9                  /* 1 */
    mov r2, lr                  /* 1 */
2:
    mov r7, r11                 /* 1 */
    stm r7!, {r3}               /* 2 */
    mov r11, r7                 /* 1 */
    adds r0, #4                 /* 1 */
    adds r1, #4                 /* 1 */
    cmp r7, r10                 /* 1 */
    bne 1b                      /* 2 */
    adds r0, r2                 /* to the next position */
    adds r1, r2
    add r10, r2
    cmp r7, r12
    bne 1b
3:
    pop {r2}
    str r0, [r2, #POOLS_WINDOW]
    mov r1, r11
    str r1, [r2, #POOLS_OUTPUT]
    mov r1, r10
    str r1, [r2, #POOLS_POSITION_END]
    restore_all
    .ltorg
    .size pt_pool_words, . - pt_pool_words
    .global __stack_pt_pool_words
    .set __stack_pt_pool_words, 40

    .equ JOB_WINDOW, 0
    .equ JOB_ERROR, 4
    .equ JOB_END, 8
    .equ JOB_INPUT_ERROR, 12
    .equ JOB_RIGHT, 16
    .equ JOB_BELOW, 20
    .equ JOB_LEAST, 24

/* The element at \place, an offset in a low register, if it is larger than all before. */
.macro compare place
    ldrsb r6, [r0, \place]      /* 2 */
    cmp r6, r5                  /* 1 */
    ble 1f                      /* 2 */
    movs r5, r6
    movs r4, \place
1:
.endm

/*
 * About 33 cycles for an error, 9 for a zero.
 *   r0 window  r1 error  r2 below  r3 right  r4 first  r5 largest  r6 scratch  r7 below + right
 *   r8 from window to input error  r9 least  r12 end of the position
 */
    start_function pt_route_errors
    save_all
    push {r0}
    ldr r1, [r0, #JOB_ERROR]
    ldr r2, [r0, #JOB_RIGHT]
    adds r1, r2
    mov r12, r1
    ldr r1, [r0, #JOB_LEAST]
    mov r9, r1
    ldr r2, [r0, #JOB_BELOW]
    ldr r3, [r0, #JOB_RIGHT]
    ldr r1, [r0, #JOB_INPUT_ERROR]
    ldr r4, [r0, #JOB_WINDOW]
    subs r1, r4
    mov r8, r1
    ldr r1, [r0, #JOB_ERROR]
    movs r0, r4
    adds r7, r2, r3             /* below + right */
2:
.if PT_SKIP_ZEROS
    ldrb r6, [r1]               /* 2 */
    cmp r6, #0                  /* 1 */
    beq 3f                      /* 2 */
.endif
    movs r4, #0                 /* 1 */
    ldrsb r5, [r0, r4]          /* 2 */
    compare r3                  /* 5 */
    compare r2                  /* 5 */
    compare r7                  /* 5 */
    cmp r5, r9                  /* 1 */
    blt 3f                      /* 1 */
    ldrb r6, [r1]               /* 2 */
    add r4, r8                  /* 1 */
    strb r6, [r0, r4]           /* 2 */
3:
    adds r0, #1                 /* 1 */
    adds r1, #1                 /* 1 */
    cmp r1, r12                 /* 1 */
    bne 2b                      /* 2 */
    adds r0, r3                 /* to the next position */
    add r12, r3
    ldr r4, [sp]
    ldr r4, [r4, #JOB_END]
    cmp r1, r4
    bne 2b
    pop {r2}
    str r1, [r2, #JOB_ERROR]
    restore_all
    .size pt_route_errors, . - pt_route_errors
    .global __stack_pt_route_errors
    .set __stack_pt_route_errors, 40
