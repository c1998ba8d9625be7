/*
 * The inner loop of the tuned addition (pt_affine_add_inner.h). Cycles stand beside the
 * instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"

    .equ ADD_START, 24

/*
 * 23 cycles for an element.
 *   r0 a  r1 b  r2 minus the elements left  r3 sum  r4 scratch  r5 weight of a  r6 of b  r7 doubt
 *   r8 start  r9 low  r10 high  r11 output
 */
    start_function pt_affine_add
    save_all
    rsbs r2, r1, #0
    movs r1, r0
    adds r1, #ADD_START
    ldm r1!, {r3-r5}
    mov r8, r3
    mov r9, r4
    mov r10, r5
    ldm r0!, {r1, r3-r7}
    mov r11, r4
    movs r0, r1
    movs r1, r3
1:
    ldrsb r3, [r0, r2]          /* 2 */
    muls r3, r5                 /* 1 */
    ldrsb r4, [r1, r2]          /* 2 */
    muls r4, r6                 /* 1 */
    adds r3, r4                 /* 1 */
    add r3, r8                  /* 1 */
    lsls r4, r3, #12            /* 1 */
    cmp r4, r7                  /* 1 */
    blo 5f                      /* 1 */
    asrs r3, #20                /* 1 */
    cmp r3, r9                  /* 1 */
    blt 3f                      /* 1 */
    cmp r3, r10                 /* 1 */
    bgt 4f                      /* 1 */
2:
    mov r4, r11                 /* 1 */
    strb r3, [r4, r2]           /* 2 */
    adds r2, #1                 /* 1 */
    bne 1b                      /* 2 */
    b 5f
3:
    mov r3, r9
    b 2b
4:
    mov r3, r10
    b 2b
5:
    rsbs r0, r2, #0
    restore_all
    .size pt_affine_add, . - pt_affine_add
    .global __stack_pt_affine_add
    .set __stack_pt_affine_add, 36
