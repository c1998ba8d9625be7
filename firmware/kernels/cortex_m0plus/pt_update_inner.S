/*
 * The inner loop of the tuned updates (pt_update_inner.h). Cycles stand beside the instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"

    .equ JOB_LIST, 0
    .equ JOB_END, 4
    .equ JOB_STATE, 8
    .equ JOB_WEIGHTS, 12
    .equ JOB_ERROR, 16
    .equ JOB_LEAST, 20
    .equ JOB_LEFT, 24
    .equ JOB_LEFT_LOW, 28
    .equ JOB_ONES, 32
    .equ JOB_SHIFT, 36
    .equ JOB_SATURATED, 40

    /* On the stack. */
    .equ JOB, 0
    .equ STATE, 4
    .equ ERROR, 8
    .equ SHIFT, 12

/* Product in r1, k in r2, C and not Z where the product is not small. */
.macro next_product weighted
    ldm r0!, {r2}               /* 2 */
    sxtb r1, r2                 /* 1 */
    lsrs r2, #8                 /* 1 */
    muls r1, r4                 /* 1 */
.if \weighted
    ldrsb r6, [r3, r2]          /* 2 */
    muls r1, r6                 /* 1 */
.endif
    mov r6, r8                  /* 1 */
    adds r6, r1                 /* 1 */
    cmp r6, r9                  /* 1 */
.endm

/*
 * 14.5 cycles for an edge whose step is 0 because its product is small (weights: 11.5), about 50 for
 * the others. A product x is small where x + least - 1 <= 2 * (least - 1) without a sign.
 *   r0 list  r1 product, magnitude, step  r2 k  r3 weights  r4 error  r5, r7 scratch  r6 sign
 *   r8 least - 1  r9 its double  r10 left  r11 left_low  r12 ones  lr end
 */
.macro steps name, weighted
    start_function \name
    save_all
    sub sp, #16
    str r0, [sp, #JOB]
    movs r1, r0
    adds r1, #JOB_LEAST
    ldm r1!, {r2-r6}
    subs r2, #1
    mov r8, r2
    lsls r2, #1
    mov r9, r2
    mov r10, r3
    mov r11, r4
    mov r12, r5
    str r6, [sp, #SHIFT]
    ldr r1, [r0, #JOB_END]
    mov lr, r1
    ldr r1, [r0, #JOB_STATE]
    str r1, [sp, #STATE]
    ldr r4, [r0, #JOB_ERROR]
    str r4, [sp, #ERROR]
    ldr r3, [r0, #JOB_WEIGHTS]
    ldr r0, [r0, #JOB_LIST]
1:
    next_product \weighted
    bhi 2f                      /* 1 */
\name\()_next:
    cmp r0, lr                  /* 1 */
    beq 3f                      /* 1 */
    next_product \weighted
    bhi 2f                      /* 1 */
    cmp r0, lr                  /* 1 */
    bne 1b                      /* 2 */
3:
    add sp, #16
    restore_all

2:
    asrs r6, r1, #31
    adds r1, r6
    eors r1, r6
    mov r5, r10
    movs r7, r1
    lsls r7, r5
    mov r5, r11
    movs r4, r1
    lsls r4, r5
    mov r5, r12
    orrs r4, r5
    ldr r5, [sp, #SHIFT]
    lsrs r1, r5
    cmp r7, r4                  /* carry: the remainder rounds up */
    movs r4, #0
    adcs r1, r4                 /* Z where the step is 0 */
    ldr r4, [sp, #ERROR]
    beq \name\()_next
    ldr r5, [sp, #STATE]
    ldrsb r7, [r5, r2]
    cmp r1, #127
    bhi 5f
    eors r1, r6
    subs r1, r6
    subs r7, r1
    movs r1, r7
    adds r1, #127
    cmp r1, #254
    bhi 6f
    strb r7, [r5, r2]
    b \name\()_next

5:                              /* the step is clamped */
    movs r1, #127
    eors r1, r6
    subs r1, r6
    subs r7, r1
6:                              /* the state may be out of range; all here saturated */
    cmp r7, #127
    ble 7f
    movs r7, #127
7:
    movs r1, #126
    mvns r1, r1                 /* -127 */
    cmp r7, r1
    bge 8f
    movs r7, r1
8:
    strb r7, [r5, r2]
    ldr r5, [sp, #JOB]
    ldr r1, [r5, #JOB_SATURATED]
    adds r1, #1
    str r1, [r5, #JOB_SATURATED]
    b \name\()_next
    .size \name, . - \name
    .global __stack_\name
    .set __stack_\name, 52
.endm

    steps pt_step_scores, 1
    steps pt_step_weights, 0
