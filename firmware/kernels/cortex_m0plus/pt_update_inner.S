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
    .equ LARGEST, 12

/* r1 <- its magnitude, r6 <- its sign: 3 cycles */
.macro magnitude
    asrs r6, r1, #31            /* 1 */
    adds r1, r6                 /* 1 */
    eors r1, r6                 /* 1 */
.endm

/* r1 <- PSTO of the magnitude in r1, Z where it is 0: 13 cycles; r5, r7 and \low are scratch. */
.macro round_step low
    mov r5, r9                  /* 1 */
    movs r7, r1                 /* 1 */
    lsls r7, r5                 /* 1 */
    mov r5, r10                 /* 1 */
    movs \low, r1               /* 1 */
    lsls \low, r5               /* 1 */
    mov r5, r11                 /* 1 */
    orrs \low, r5               /* 1 */
    mov r5, r12                 /* 1 */
    lsrs r1, r5                 /* 1 */
    cmp r7, \low                /* 1: carry where the remainder rounds up */
    movs r7, #0                 /* 1 */
    adcs r1, r7                 /* 1 */
.endm

/* The state of edge r2 moves by the step in r1 and r6: 15 cycles. Where anything
 * saturates it goes on behind the loop, at \beyond. */
.macro move_state beyond
    ldr r5, [sp, #STATE]        /* 2 */
    ldrsb r7, [r5, r2]          /* 2 */
    cmp r1, #127                /* 1 */
    bhi \beyond\()_step         /* 1 */
    eors r1, r6                 /* 1 */
    subs r1, r6                 /* 1 */
    subs r7, r1                 /* 1 */
    movs r1, r7                 /* 1 */
    adds r1, #127               /* 1 */
    cmp r1, #254                /* 1 */
    bhi \beyond\()_state        /* 1 */
    strb r7, [r5, r2]           /* 2 */
.endm

.macro saturate beyond, next
\beyond\()_step:                /* the step is clamped */
    movs r1, #127
    eors r1, r6
    subs r1, r6
    subs r7, r1
\beyond\()_state:               /* the state may be out of range; all here saturated */
    cmp r7, #127
    ble 8f
    movs r7, #127
8:
    movs r1, #126
    mvns r1, r1                 /* -127 */
    cmp r7, r1
    bge 9f
    movs r7, r1
9:
    strb r7, [r5, r2]
    ldr r5, [sp, #JOB]
    ldr r1, [r5, #JOB_SATURATED]
    adds r1, #1
    str r1, [r5, #JOB_SATURATED]
    b \next
.endm

/* r0 job -> the registers below, but r1 and r2; 52 bytes of stack */
.macro enter_steps
    save_all
    sub sp, #16
    str r0, [sp, #JOB]
    movs r1, r0
    adds r1, #JOB_LEAST
    ldm r1!, {r2-r6}
    mov r9, r3
    mov r10, r4
    mov r11, r5
    mov r12, r6
    subs r5, r2, #1
    str r5, [sp, #LARGEST]
    adds r2, r5, r5
    mov r8, r2
    ldr r1, [r0, #JOB_END]
    mov lr, r1
    ldr r2, [r0, #JOB_STATE]
    str r2, [sp, #STATE]
    ldr r4, [r0, #JOB_ERROR]
    str r4, [sp, #ERROR]
    ldr r3, [r0, #JOB_WEIGHTS]
    ldr r0, [r0, #JOB_LIST]
.endm

/*
 * Most edges of a linear layer move or come near it, so all go one way: 47 cycles, weights 42; 33
 * and 28 where the step is 0, 17 and 14 where it is because the product is small.
 *   r0 list  r1 product, magnitude, step  r2 k  r3 weights  r4 error  r6 sign  r5, r7 scratch
 *   r8 the least magnitude that counts  r9 left  r10 left_low  r11 ones  r12 shift  lr end
 * \low is a register for round_step: r4 where weights need r3.
 */
.macro steps name, weighted, low
    start_function \name
    enter_steps
    adds r5, #1
    mov r8, r5
1:
    ldm r0!, {r2}               /* 2 */
    sxtb r1, r2                 /* 1 */
    lsrs r2, #8                 /* 1 */
    muls r1, r4                 /* 1 */
.if \weighted
    ldrsb r6, [r3, r2]          /* 2 */
    muls r1, r6                 /* 1 */
.endif
    magnitude                   /* 3 */
    cmp r1, r8                  /* 1 */
    blo 2f                      /* 1, 2 */
    round_step \low             /* 13 */
.if \weighted
    ldr r4, [sp, #ERROR]        /* 2 */
.endif
    beq 2f                      /* 1, 2 */
    move_state \name            /* 15 */
2:
    cmp r0, lr                  /* 1 */
    bne 1b                      /* 2 */
    add sp, #16
    restore_all
    saturate \name, 2b
    .size \name, . - \name
    .global __stack_\name
    .set __stack_\name, 52
.endm

/*
 * The same down whole rows, with r0 the gradient, r4 scratch, r5 the largest product that is small
 * and r8 twice it: 12 cycles for one, and few are not.
 */
    start_function pt_step_gradient
    enter_steps
    movs r2, #0
1:
    ldm r0!, {r1}               /* 2 */
    ldrsb r6, [r3, r2]          /* 2 */
    muls r1, r6                 /* 1 */
    adds r6, r1, r5             /* 1 */
    cmp r6, r8                  /* 1 */
    bhi 3f                      /* 1 */
2:
    adds r2, #1                 /* 1 */
    cmp r0, lr                  /* 1 */
    bne 1b                      /* 2 */
    add sp, #16
    restore_all
3:
    magnitude
    round_step r4
    beq 4f
    move_state pt_step_gradient
4:
    ldr r5, [sp, #LARGEST]
    b 2b
    saturate pt_step_gradient, 4b
    .size pt_step_gradient, . - pt_step_gradient
    .global __stack_pt_step_gradient
    .set __stack_pt_step_gradient, 52

    steps pt_step_scores, 1, r4
    steps pt_step_weights, 0, r3
