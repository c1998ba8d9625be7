/*
 * The inner loop of the masks (pt_edges_inner.h). Cycles stand beside the instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"

    .equ JOB_WEIGHTS, 0
    .equ JOB_SCORES, 4
    .equ JOB_EFFECTIVE, 8
    .equ JOB_END, 12
    .equ JOB_THRESHOLD, 16

/*
 * Four edges at once: 16 cycles (17 if \positive), 3 more where one of them is pruned.
 *   r0 weights  r1 scores  r2 effective  r3 0x80808080  r4 minus the threshold  r5 four scores
 *   r6 scratch  r7 four weights  r12 end
 */
.macro mask_words name, positive
    start_function \name
    push {r4-r7, lr}
    ldr r1, [r0, #JOB_END]
    mov r12, r1
    ldr r1, [r0, #JOB_THRESHOLD]
    rsbs r4, r1, #0
    ldr r1, [r0, #JOB_SCORES]
    ldr r2, [r0, #JOB_EFFECTIVE]
    ldr r0, [r0, #JOB_WEIGHTS]
    ldr r3, =0x80808080
1:
    ldm r1!, {r5}               /* 2 */
    ldm r0!, {r7}               /* 2 */
    find_pruned r5, r6, r3, r4, \positive /* 5, 6 */
    beq 2f                      /* 2 */
    prune r7, r5, r6
2:
    stm r2!, {r7}               /* 2 */
    cmp r2, r12                 /* 1 */
    bne 1b                      /* 2 */
    pop {r4-r7, pc}
    .ltorg
    .size \name, . - \name
    .global __stack_\name
    .set __stack_\name, 20
.endm

    mask_words pt_mask_words_negative, 0
    mask_words pt_mask_words_positive, 1
