/*
 * The inner loops of the tuned convolution (pt_conv2d_inner.h). Cycles stand beside the
 * instructions of the loops that matter.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"

    .equ JOB_ROWS, 0
    .equ JOB_ROWS_END, 4
    .equ JOB_KERNEL_STEP, 8
    .equ JOB_INDEX_STEP, 12
    .equ JOB_LANE_STEP, 16
    .equ JOB_FIRST, 20
    .equ JOB_POSITIONS, 24
    .equ JOB_OUTPUT, 28
    .equ JOB_OUTPUT_STEP, 32
    .equ JOB_SHIFT, 36
    .equ JOB_SATURATED, 40

    /*
     * On the stack of a row of windows: what moves on with each window, by how much, and the rest.
     */
    .equ INDEX_AT, 0     /* x * index_step: where a window begins in an index */
    .equ INDEX_END, 4    /* and ends */
    .equ LANES_AT, 8     /* x * lane_step */
    .equ OUTPUT, 12
    .equ INDEX_STEP, 16
    .equ LANE_STEP, 20
    .equ OUTPUT_STEP, 24
    .equ OUTPUT_END, 28
    .equ ROWS_END, 32
    .equ ROWS, 36
    .equ ROW, 40         /* the next pt_lanes_row */
    .equ JOB, 44
    .equ SHIFT, 48
    .equ SPILLED, 52     /* whether SUMS holds anything; with ReLU: the end of what RAW holds */
    .equ NEGLIGIBLE, 56  /* requantize_lanes */
    .equ SUMS, 60        /* int32 [8] */
    .equ FRAME, 92
    .equ RAW, 92         /* with ReLU: lanes whose budget was spent, as they were */
    .equ RAWS, 4
    .equ RAW_BYTES, 16 * RAWS

/*
 * The next two SUMS, r7, <- (with \add: +=) the two sums in \lanes: 7 cycles, 12. ADCS makes up for
 * what the lower sum took from the upper one where it is negative. r6 is 0 without \add.
 */
.macro spill lanes, add
    mov r5, \lanes              /* 1 */
.if \add
    ldr r3, [r7]                /* 2 */
    ldr r4, [r7, #4]            /* 2 */
    sxth r6, r5                 /* 1 */
    adds r3, r6                 /* 1 */
    asrs r5, #16                /* 1 */
    adcs r4, r5                 /* 1 */
.else
    sxth r3, r5                 /* 1 */
    asrs r4, r5, #16            /* 1 */
    adcs r4, r6                 /* 1 */
.endif
    stm r7!, {r3, r4}           /* 3 */
.endm

.macro spill_all add
    add r7, sp, #SUMS
.if !\add
    movs r6, #0
.endif
    spill r8, \add
    spill r9, \add
    spill r10, \add
    spill r11, \add
.endm

.macro clear_sums
    movs r3, #0
    movs r4, #0
    movs r5, #0
    movs r6, #0
    add r7, sp, #SUMS
    stm r7!, {r3-r6}
    stm r7!, {r3-r6}
.endm

/* The magnitude of the value in r1 off the budget in r7. */
.macro charge budget
.if \budget == 2
    asrs r3, r1, #31
    adds r4, r1, r3
    eors r4, r3
    subs r7, r4
.else
    subs r7, r1
.endif
.endm

/* Value in r1, its lanes in r2: 4 cycles, and 2 or 5 for the budget. */
.macro next_value prefix, budget
    ldm r0!, {r1, r2}           /* 3 */
    add r2, lr                  /* 1 */
.if \budget
    charge \budget              /* 1, 4 */
    bmi \prefix\()_spill        /* 1 */
.endif
.endm

.macro add_products
    ldm r2!, {r3-r6}            /* 5 */
    muls r3, r1                 /* 1 */
    add r8, r3                  /* 1 */
    muls r4, r1                 /* 1 */
    add r9, r4                  /* 1 */
    muls r5, r1                 /* 1 */
    add r10, r5                 /* 1 */
    muls r6, r1                 /* 1 */
    add r11, r6                 /* 1 */
.endm

/*
 * Begins the next row of a window whose list is not empty: r0 entry, r4 end, r5 lanes. r3 is the
 * next pt_lanes_row, r6 the end of them, r1 and r2 where the window begins and ends; 12 cycles for
 * an empty list. Falls through behind the last row.
 */
.macro find_row found
1:
    ldm r3!, {r4, r5}           /* 3 */
    ldr r0, [r4, r1]            /* 2 */
    ldr r4, [r4, r2]            /* 2 */
    cmp r0, r4                  /* 1 */
    bne \found                  /* 1 */
    cmp r3, r6                  /* 1 */
    bne 1b                      /* 2 */
.endm

/*
 * Sums one window after another into four lane words.
 *   r0 entry  r1 value  r2 lanes  r3-r6 four lane words  r7 budget
 *   r8-r11 sums  r12 end of the list  lr lanes of the kernel row
 * For each element that is not zero and eight channels 21.5 cycles with budget 1 (no value is
 * negative), 24.5 with budget 2 (any sign), 19.5 with budget 0 (the whole window fits).
 */
.macro windows prefix, budget, relu=0
    save_all
.if \relu
    sub sp, #FRAME + RAW_BYTES
.else
    sub sp, #FRAME
.endif
    str r0, [sp, #JOB]
    ldr r1, [r0, #JOB_ROWS]
    str r1, [sp, #ROWS]
    ldr r1, [r0, #JOB_ROWS_END]
    str r1, [sp, #ROWS_END]
.if \relu
    ldr r2, [r0, #JOB_SHIFT]
    str r2, [sp, #SHIFT]
    movs r1, #1
    lsls r1, r2
    lsrs r1, #1                 /* half */
    cmp r2, #16
    bls 1f
    movs r1, #1                 /* no sum without a spill reaches 2^15 */
    lsls r1, #15
1:
    lsls r2, r1, #16
    adds r1, r2
    ldr r2, =0x80008000
    subs r2, r1
    str r2, [sp, #NEGLIGIBLE]
.endif
    ldr r3, [r0, #JOB_FIRST]
    ldr r1, [r0, #JOB_LANE_STEP]
    str r1, [sp, #LANE_STEP]
    muls r1, r3
    str r1, [sp, #LANES_AT]
    ldr r1, [r0, #JOB_OUTPUT_STEP]
    str r1, [sp, #OUTPUT_STEP]
    ldr r4, [r0, #JOB_OUTPUT]
    ldr r2, [r0, #JOB_POSITIONS]
    muls r2, r1
    adds r2, r4
    str r2, [sp, #OUTPUT_END]
    muls r1, r3
    adds r1, r4
    str r1, [sp, #OUTPUT]
    ldr r1, [r0, #JOB_INDEX_STEP]
    str r1, [sp, #INDEX_STEP]
    muls r1, r3
    str r1, [sp, #INDEX_AT]
    ldr r2, [r0, #JOB_KERNEL_STEP]
    adds r2, r1
    str r2, [sp, #INDEX_END]

    ldr r3, [sp, #ROWS]
    ldr r6, [sp, #ROWS_END]
\prefix\()_window:
    find_row \prefix\()_begin
    b \prefix\()_next

\prefix\()_begin:
    movs r7, #0
    mov r8, r7
    mov r9, r7
    mov r10, r7
    mov r11, r7
.if \relu
    add r7, sp, #RAW
.endif
.if \budget
    str r7, [sp, #SPILLED]
    movs r7, #PT_ERROR_BUDGET - 255
    adds r7, #255
.endif

\prefix\()_row:
    mov r12, r4
    str r3, [sp, #ROW]
    ldr r4, [sp, #LANES_AT]
    subs r5, r4
    mov lr, r5

\prefix\()_entry:
    next_value \prefix, \budget
\prefix\()_add:
    add_products
\prefix\()_added:
    cmp r0, r12                 /* 1 */
    beq \prefix\()_row_done     /* 1 */
    next_value \prefix, \budget
    add_products
    cmp r0, r12                 /* 1 */
    bne \prefix\()_entry        /* 2 */
\prefix\()_row_done:
    ldr r3, [sp, #ROW]
    ldr r6, [sp, #ROWS_END]
    cmp r3, r6
    beq \prefix\()_finish
    mov r5, sp
    ldm r5!, {r1, r2}           /* INDEX_AT, INDEX_END */
    find_row \prefix\()_row
    b \prefix\()_finish

.if \relu
/*
 * The value in r1 no longer fits the budget: the lanes move to RAW and begin anew with its
 * products, 17 cycles. Where RAW is full they are added to SUMS; SPILLED then is one more than RAW
 * holds.
 */
\prefix\()_spill:
    ldr r7, [sp, #SPILLED]      /* 2 */
    add r3, sp, #RAW + RAW_BYTES /* 1 */
    cmp r7, r3                  /* 1 */
    bhs \prefix\()_full         /* 1 */
    mov r3, r8                  /* 1 */
    mov r4, r9                  /* 1 */
    mov r5, r10                 /* 1 */
    mov r6, r11                 /* 1 */
    stm r7!, {r3-r6}            /* 5 */
    str r7, [sp, #SPILLED]      /* 2 */
\prefix\()_anew:
    movs r7, #PT_ERROR_BUDGET - 255
    adds r7, #255
    charge \budget
    ldm r2!, {r3-r6}
    muls r3, r1
    mov r8, r3
    muls r4, r1
    mov r9, r4
    muls r5, r1
    mov r10, r5
    muls r6, r1
    mov r11, r6
    b \prefix\()_added
\prefix\()_full:
    bne 1f
    adds r7, #16
    str r7, [sp, #SPILLED]
    clear_sums
1:
    spill_all 1
    b \prefix\()_anew
.elseif \budget
/* The value in r1 no longer fits the budget: the lanes move to SUMS and begin anew with it. */
\prefix\()_spill:
    ldr r3, [sp, #SPILLED]
    cmp r3, #0
    bne \prefix\()_spill_more
    adds r3, #1
    str r3, [sp, #SPILLED]
    spill_all 0
    b \prefix\()_spill_end
\prefix\()_spill_more:
    spill_all 1
\prefix\()_spill_end:
    movs r7, #0
    mov r8, r7
    mov r9, r7
    mov r10, r7
    mov r11, r7
    movs r7, #PT_ERROR_BUDGET - 255
    adds r7, #255
    charge \budget
    b \prefix\()_add
.endif

\prefix\()_finish:
.endm

/* To the next window, or out, with \raw bytes of stack behind FRAME; r1 and r2 are where it begins
 * and ends in an index. */
.macro next_window prefix, raw=0
    mov r0, sp
    ldm r0!, {r1-r7}            /* 8: INDEX_AT to OUTPUT_STEP */
    adds r1, r5
    adds r2, r5
    adds r3, r6
    adds r4, r7
    ldm r0!, {r5-r7}            /* 4: OUTPUT_END to ROWS */
    mov r0, sp
    stm r0!, {r1-r4}            /* 5 */
    movs r3, r7
    cmp r4, r5
    beq 1f
    b \prefix\()_window
1:
    add sp, #FRAME + \raw
    restore_all
.endm

.macro store_window
    ldr r0, [sp, #OUTPUT]
    split r8, r1, r2
    split r9, r3, r4
    stm r0!, {r1-r4}
    split r10, r1, r2
    split r11, r3, r4
    stm r0!, {r1-r4}
.endm

    start_function pt_lanes_row_s32
    windows s32, 2
    ldr r0, [sp, #SPILLED]
    cmp r0, #0
    bne s32_spilled
    store_window
s32_next:
    next_window s32
s32_spilled:
    spill_all 1
    add r1, sp, #SUMS
    ldr r0, [sp, #OUTPUT]
    ldm r1!, {r2-r5}
    stm r0!, {r2-r5}
    ldm r1!, {r2-r5}
    stm r0!, {r2-r5}
    b s32_next
    .size pt_lanes_row_s32, . - pt_lanes_row_s32

    start_function pt_lanes_row_small_s32
    windows small, 0
    store_window
small_next:
    next_window small
    .size pt_lanes_row_small_s32, . - pt_lanes_row_small_s32

/* output[\at] = max(RHU(value, r1), 0), of 0 already: 4 cycles, 7. ADCS adds the last bit that ASRS
 * shifted out. */
.macro requantize_sum value, at, saturated
    asrs \value, r1             /* 1 */
    adcs \value, r2             /* 1 */
    ble 1f                      /* 1, 2 */
    cmp \value, #127            /* 1 */
    bgt \saturated              /* 1 */
    strb \value, [r0, #\at]     /* 2 */
1:
.endm

/* r3 and r4 of channels \at and \at + 1 */
.macro requantize_both at, saturated
    requantize_sum r3, \at, \saturated
    requantize_sum r4, \at + 1, \saturated
.endm

/*
 * Both sums in \lanes, with r0 the output and r2 = 0; 16 to 22 cycles. Above 127 the whole window
 * is done again, slowly. 5 cycles where both are below half = 2^(r1 - 1): with r6 = 0x80008000 -
 * half * 0x10001 added neither bit of r7 = 0x80008000 is set then, and one is where a borrow hides
 * what the sums are.
 */
.macro requantize_lanes lanes, at
    mov r3, \lanes
    adds r3, r6
    tst r3, r7
    beq 2f
    split \lanes, r3, r4
    requantize_both \at, relu_saturated
2:
.endm

/* r3 and r4 += the two sums in word \at of those in RAW: 6 cycles, 10 bytes. */
.macro add_raw raw, at
    ldr r5, [sp, #RAW + 16 * \raw + 2 * \at]
    sxth r6, r5
    adds r3, r6
    asrs r5, #16
    adcs r4, r5
.endm

/* The same of SUMS, in 10 bytes. */
.macro add_sums at
    ldr r5, [sp, #SUMS + 4 * \at]
    adds r3, r5
    ldr r5, [sp, #SUMS + 4 * \at + 4]
    adds r4, r5
    nop
.endm

/* Both sums in \lanes and what was spilled of them, from where r7 says on: 14 to 20 cycles and 6
 * for each spilled word. */
.macro requantize_spilled lanes, at, saturated
    mov r4, \lanes
    sxth r3, r4
    asrs r4, #16
    adcs r4, r2
    add pc, r7
    add_sums \at
    add_raw 3, \at
    add_raw 2, \at
    add_raw 1, \at
    add_raw 0, \at
    requantize_both \at, \saturated
.endm

    start_function pt_lanes_row_relu_s8
    windows relu, 1, 1
    ldr r0, [sp, #OUTPUT]       /* 2 */
    movs r2, #0                 /* 1 */
    add r3, sp, #SHIFT          /* 1 */
    ldm r3, {r1, r3, r6}        /* 4: to NEGLIGIBLE */
    add r4, sp, #RAW            /* 1 */
    subs r3, r4                 /* 1 */
    bne relu_spilled            /* 1 */
    ldr r7, =0x80008000         /* 2 */
    requantize_lanes r8, 0
    requantize_lanes r9, 2
    requantize_lanes r10, 4
    requantize_lanes r11, 6
relu_next:
    next_window relu, RAW_BYTES
relu_saturated:
    b relu_slow
relu_spilled:                   /* 16 bytes of RAW are 10 of code not to be left out */
    lsrs r7, r3, #1
    lsrs r3, #3
    adds r3, r7
    movs r7, #10 * (RAWS + 1) - 2
    subs r7, r3
    requantize_spilled r8, 0, relu_saturated
    requantize_spilled r9, 2, relu_saturated
    requantize_spilled r10, 4, relu_slow
    requantize_spilled r11, 6, relu_slow
    b relu_next
    .ltorg
/* All of RAW is added to SUMS, where its sums are one more than in RAW if it was full. */
relu_slow:
    ldr r3, [sp, #SPILLED]
    add r4, sp, #RAW + RAW_BYTES
    cmp r3, r4
    bls 1f
    str r4, [sp, #SPILLED]
    b 2f
1:
    clear_sums
2:
    spill_all 1
    ldr r7, [sp, #SPILLED]
    add r3, sp, #RAW
    cmp r7, r3
    beq 3f
    subs r7, #16
    str r7, [sp, #SPILLED]
    ldm r7!, {r3-r6}
    mov r8, r3
    mov r9, r4
    mov r10, r5
    mov r11, r6
    b 2b
3:
    add r6, sp, #SUMS
    movs r7, #8
relu_one:
    ldm r6!, {r3}
    asrs r3, r1
    adcs r3, r2
    asrs r5, r3, #31
    bics r3, r5
    cmp r3, #127
    ble 1f
    ldr r5, [sp, #JOB]
    ldr r3, [r5, #JOB_SATURATED]
    adds r3, #1
    str r3, [r5, #JOB_SATURATED]
    movs r3, #127
1:
    strb r3, [r0]
    adds r0, #1
    subs r7, #1
    bne relu_one
    b relu_next
    .size pt_lanes_row_relu_s8, . - pt_lanes_row_relu_s8

/* Bytes of stack, for `picotrain memory`. */
    .global __stack_pt_lanes_row_s32, __stack_pt_lanes_row_small_s32
    .global __stack_pt_lanes_row_relu_s8
    .set __stack_pt_lanes_row_s32, 36 + FRAME
    .set __stack_pt_lanes_row_small_s32, 36 + FRAME
    .set __stack_pt_lanes_row_relu_s8, 36 + FRAME + RAW_BYTES
