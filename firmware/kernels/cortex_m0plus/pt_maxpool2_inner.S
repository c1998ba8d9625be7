/*
 * The inner loop of the tuned max-pool (pt_maxpool2_inner.h). Cycles stand beside the instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"
#include "kernels/pt_skips.h"

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
