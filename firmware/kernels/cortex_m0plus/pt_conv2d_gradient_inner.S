/*
 * The inner loops of the tuned convolution's gradient (pt_conv2d_gradient_inner.h). Cycles stand
 * beside the instructions of the loops that matter.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"
#include "kernels/pt_skips.h"

/* error in r1, address of its pairs in r2; r0 list, r12 end, lr pairs; 4 cycles */
.macro next_error
    ldm r0!, {r1, r2}
    add r2, lr
.endm

.macro add_pair pair, sum
    muls \pair, r1
    add \sum, \pair
.endm

.macro store_pair sum
    split \sum, r4, r5
    stm r3!, {r4, r5}
.endm

.macro enter_pairs
    save_all
    mov r12, r1
    mov lr, r2
    push {r3}
    movs r3, #0
    mov r8, r3
    mov r9, r3
.endm

.macro enter_six
    mov r10, r3
    mov r11, r3
    movs r6, #0
    movs r7, #0
.endm

.macro leave_six
    pop {r3}
    store_pair r8
    store_pair r9
    store_pair r10
    store_pair r11
    store_pair r6
    store_pair r7
    restore_all
.endm

.macro add_six step
    next_error                  /* 4 */
.if \step == 4
    ldm r2!, {r3-r5}            /* 4 */
.else
    ldr r3, [r2, #0]
    ldr r4, [r2, #8]
    ldr r5, [r2, #16]
.endif
    add_pair r3, r8             /* 2 */
    add_pair r4, r9             /* 2 */
    add_pair r5, r10            /* 2 */
.if \step == 4
    ldm r2!, {r3-r5}            /* 4 */
.else
    ldr r3, [r2, #24]
    ldr r4, [r2, #32]
    ldr r5, [r2, #40]
.endif
    add_pair r3, r11            /* 2 */
    muls r4, r1                 /* 1 */
    adds r6, r4                 /* 1 */
    muls r5, r1                 /* 1 */
    adds r7, r5                 /* 1 */
.endm

/* Six pairs: 26.5 cycles for each error and 12 products, 30.5 with a step of 8. */
.macro six_pairs name, step
    start_function \name
    enter_pairs
    enter_six
1:
    add_six \step
    cmp r0, r12                 /* 1 */
    beq 2f                      /* 1 */
    add_six \step
    cmp r0, r12                 /* 1 */
    bne 1b                      /* 2 */
2:
    leave_six
    .size \name, . - \name
.endm

/* Two pairs: 14 cycles for each error and 4 products, 15 with a step of 8. */
.macro two_pairs name, step
    start_function \name
    enter_pairs
1:
    next_error
.if \step == 4
    ldm r2!, {r3, r4}
.else
    ldr r3, [r2, #0]
    ldr r4, [r2, #8]
.endif
    add_pair r3, r8
    add_pair r4, r9
    cmp r0, r12
    bne 1b
    pop {r3}
    store_pair r8
    store_pair r9
    restore_all
    .size \name, . - \name
.endm

    six_pairs pt_pairs_6_step4, 4
    six_pairs pt_pairs_6_step8, 8
.macro add_3x2
    next_error                  /* 4 */
    ldr r3, [r2, #0]            /* 2 */
    ldr r4, [r2, #8]            /* 2 */
    add_pair r3, r8             /* 2 */
    add_pair r4, r9             /* 2 */
    ldr r3, [r2, r5]            /* 2 */
    adds r2, r5                 /* 1 */
    ldr r4, [r2, #8]            /* 2 */
    add_pair r3, r10            /* 2 */
    add_pair r4, r11            /* 2 */
    ldr r3, [r2, r5]            /* 2 */
    adds r2, r5                 /* 1 */
    ldr r4, [r2, #8]            /* 2 */
    muls r3, r1                 /* 1 */
    adds r6, r3                 /* 1 */
    muls r4, r1                 /* 1 */
    adds r7, r4                 /* 1 */
.endm

/*
 * Two pairs in each of three rows: 31.5 cycles for each error and the 9 products of a 3x3 kernel on
 * one channel.
 */
    start_function pt_pairs_3x2_step8
    enter_pairs
    enter_six
    ldr r5, [sp, #40]           /* the fifth argument */
1:
    add_3x2
    cmp r0, r12                 /* 1 */
    beq 2f                      /* 1 */
    add_3x2
    cmp r0, r12                 /* 1 */
    bne 1b                      /* 2 */
2:
    leave_six
    .size pt_pairs_3x2_step8, . - pt_pairs_3x2_step8

    two_pairs pt_pairs_2_step4, 4
    two_pairs pt_pairs_2_step8, 8

    .equ POSITIONS_ERROR, 0
    .equ POSITIONS_AT, 4
    .equ POSITIONS_END, 8
    .equ POSITIONS_PAIRS, 12
    .equ POSITIONS_PAIR_STEP, 16
    .equ POSITIONS_CHANNELS, 20
    .equ POSITIONS_POSITION, 24

/*
 * r0 error  r1 position  r2 at  r3 pairs  r4 channels  r5 pair step  r6, r7 errors  r8 end of the
 * position's errors  r12 end; 15 cycles for eight channels without an error
 */
    start_function pt_list_positions
    save_all
    push {r0}
    ldr r1, [r0, #POSITIONS_POSITION]
    ldr r2, [r0, #POSITIONS_END]
    mov r12, r2
    ldr r2, [r0, #POSITIONS_AT]
    ldr r3, [r0, #POSITIONS_PAIRS]
    ldr r4, [r0, #POSITIONS_CHANNELS]
    ldr r5, [r0, #POSITIONS_PAIR_STEP]
    ldr r0, [r0, #POSITIONS_ERROR]
    mov r8, r0
1:
    add r8, r4                  /* 1 */
.if PT_SKIP_ZEROS
2:
    ldm r0!, {r6, r7}           /* 3 */
    orrs r6, r7                 /* 1 */
    bne 3f                      /* 1, 2 */
    cmp r0, r8                  /* 1 */
    bne 2b                      /* 1, 2 */
    b 4f                        /* 2 */
.endif
3:
    stm r1!, {r2, r3}           /* 3 */
    mov r0, r8                  /* 1 */
4:
    adds r3, r5                 /* 1 */
    adds r2, r4                 /* 1 */
    cmp r2, r12                 /* 1 */
    bne 1b                      /* 2 */
    pop {r0}
    str r1, [r0, #POSITIONS_POSITION]
    restore_all
    .size pt_list_positions, . - pt_list_positions
    .global __stack_pt_list_positions
    .set __stack_pt_list_positions, 40

.macro list_error
    ldm r3!, {r4, r5}           /* 3 */
    ldrsb r4, [r2, r4]          /* 2 */
.if PT_SKIP_ZEROS
    cmp r4, #0                  /* 1 */
    beq 2f                      /* 1 */
.endif
    asrs r0, r4, #31            /* 1 */
    adds r6, r4, r0             /* 1 */
    eors r6, r0                 /* 1 */
    subs r7, r6                 /* 1 */
    bmi 3f                      /* 1 */
    stm r1!, {r4, r5}           /* 3 */
2:
.endm

/*
 * r0 cursor { position, end, error, entry }: lists the errors that are not zero until the positions
 * end or the budget does; 18.5 cycles for each, 11 for a zero.
 *   r1 entry  r2 error  r3 position  r4 value  r5 pairs  r6 magnitude  r7 budget  r12 end
 */
    start_function pt_list_errors
    push {r0, r4-r7, lr}
    ldm r0!, {r3-r5}
    mov r12, r4
    mov r2, r5
    ldr r1, [r0]
    movs r7, #PT_ERROR_BUDGET - 255
    adds r7, #255
1:
    list_error
    cmp r3, r12                 /* 1 */
    beq 4f                      /* 1 */
    list_error
    cmp r3, r12                 /* 1 */
    bne 1b                      /* 2 */
    b 4f
3:
    subs r3, #8                 /* this one begins the next list */
4:
    pop {r0}
    str r3, [r0, #0]
    str r1, [r0, #12]
    pop {r4-r7, pc}
    .size pt_list_errors, . - pt_list_errors

/*
 * r0 cursor { position, end, error, entry, places, left, moves }: 36 cycles for an error, 11 for a
 * zero.
 *   r1 entry  r2 error  r3 position  r4 offset, value  r5 pairs  r6 value  r7 budget
 *   r8 places  r9 left  r10 moves  r12 end
 */
    start_function pt_list_placed_errors
    save_all
    push {r0}
    ldm r0!, {r3-r5}
    mov r12, r4
    mov r2, r5
    ldm r0!, {r1, r4-r6}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    movs r7, #PT_ERROR_BUDGET - 255
    adds r7, #255
1:
    ldm r3!, {r4, r5}           /* 3 */
    ldrsb r6, [r2, r4]          /* 2 */
.if PT_SKIP_ZEROS
    cmp r6, #0                  /* 1 */
    beq 2f                      /* 1, 2 */
.endif
    lsrs r4, #2                 /* 1 */
    mov r0, r8                  /* 1 */
    ldrb r4, [r0, r4]           /* 2 */
    mov r0, r9                  /* 1 */
    lsls r4, r0                 /* 1 */
    lsrs r4, #30                /* 1 */
    lsls r4, #2                 /* 1 */
    mov r0, r10                 /* 1 */
    ldr r4, [r0, r4]            /* 2 */
    adds r5, r4                 /* 1 */
    asrs r0, r6, #31            /* 1 */
    adds r4, r6, r0             /* 1 */
    eors r4, r0                 /* 1 */
    subs r7, r4                 /* 1 */
    bmi 3f                      /* 1 */
    movs r4, r6                 /* 1 */
    stm r1!, {r4, r5}           /* 3 */
2:
    cmp r3, r12                 /* 1 */
    bne 1b                      /* 2 */
    b 4f
3:
    subs r3, #8                 /* this one begins the next list */
4:
    pop {r0}
    str r3, [r0, #0]
    str r1, [r0, #12]
    restore_all
    .size pt_list_placed_errors, . - pt_list_placed_errors
    .global __stack_pt_list_placed_errors
    .set __stack_pt_list_placed_errors, 40

/* Bytes of stack, for `picotrain memory`. */
    .global __stack_pt_pairs_6_step4, __stack_pt_pairs_6_step8
    .global __stack_pt_pairs_2_step4, __stack_pt_pairs_2_step8
    .global __stack_pt_pairs_3x2_step8, __stack_pt_list_errors
    .set __stack_pt_list_errors, 24
    .set __stack_pt_pairs_3x2_step8, 40
    .set __stack_pt_pairs_6_step4, 40
    .set __stack_pt_pairs_6_step8, 40
    .set __stack_pt_pairs_2_step4, 40
    .set __stack_pt_pairs_2_step8, 40
