/*
 * The inner loops of the tuned linear layer (pt_linear_inner.h). Cycles stand beside the
 * instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"
#include "kernels/pt_skips.h"

/* One of the four values in r4: 8 cycles, 5 for a zero. */
.macro list_input
    lsls r5, r4, #24            /* 1 */
.if PT_SKIP_ZEROS
    beq 3f                      /* 1, 2 */
.endif
    lsrs r5, #24                /* 1 */
    orrs r5, r3                 /* 1 */
    stm r2!, {r5}               /* 2 */
3:
    lsrs r4, #8                 /* 1 */
    adds r3, r6                 /* 1 */
.endm

/* r0 values  r1 end  r2 list  r3 k << 8  r4 word  r5 scratch  r6 2^8  r7 2^10; 8 cycles for a zero
 * word */
    start_function pt_list_input_words
    push {r4-r7, lr}
    movs r6, #1
    lsls r6, #8
    lsls r7, r6, #2
1:
    ldm r0!, {r4}               /* 2 */
.if PT_SKIP_ZEROS
    cmp r4, #0                  /* 1 */
    beq 4f                      /* 1, 2 */
.endif
    list_input
    list_input
    list_input
    list_input
    cmp r0, r1                  /* 1 */
    bne 1b                      /* 2 */
    b 5f
4:
    adds r3, r7                 /* 1 */
    cmp r0, r1                  /* 1 */
    bne 1b                      /* 2 */
5:
    movs r0, r2
    pop {r4-r7, pc}
    .size pt_list_input_words, . - pt_list_input_words
    .global __stack_pt_list_input_words
    .set __stack_pt_list_input_words, 20

    .equ ROWS_LIST, 0
    .equ ROWS_END, 4
    .equ ROWS_WEIGHTS, 8
    .equ ROWS_SCORES, 12
    .equ ROWS_LENGTH, 16
    .equ ROWS_THRESHOLD, 20
    .equ ROWS_SUMS, 24

.macro load_job
    save_all
    push {r0}
    ldr r1, [r0, #ROWS_LENGTH]
    ldr r4, [r0, #ROWS_WEIGHTS]
    movs r3, #0
    mov r8, r3
    mov r9, r3
    mov r10, r3
    mov r11, r3
.endm

.macro store_sums
    pop {r0}
    ldr r0, [r0, #ROWS_SUMS]
    mov r1, r8
    mov r2, r9
    mov r3, r10
    mov r4, r11
    stm r0!, {r1-r4}
    restore_all
.endm

/* Falls through if the length of a list from r0 to \end is a multiple of four; where it leaves
 * more, the first time round begins with the last three, two or one. */
.macro begin_fours end, three, two, one
    mov r3, \end
    subs r3, r0
    lsls r3, #28
    beq 9f
    bpl \one
    lsls r3, #1
    bpl \two
    b \three
9:
.endm

.macro add_edge sum, weights
    ldrsb r3, [\weights, r1]    /* 2 */
    muls r3, r2                 /* 1 */
    add \sum, r3                /* 1 */
.endm

.macro add_edges
    ldm r0!, {r1}               /* 2 */
    sxtb r2, r1                 /* 1 */
    lsrs r1, #8                 /* 1 */
    add_edge r8, r4             /* 4 */
    add_edge r9, r5
    add_edge r10, r6
    add_edge r11, r7
.endm

/*
 * Four rows at once: 20.8 cycles for each input that is not zero.
 *   r0 list  r1 k  r2 value  r3 weight  r4-r7 rows of weights  r8-r11 sums  r12 end
 */
    start_function pt_rows4
    load_job
    adds r5, r4, r1
    adds r6, r5, r1
    adds r7, r6, r1
    ldr r1, [r0, #ROWS_END]
    mov r12, r1
    ldr r0, [r0, #ROWS_LIST]
    begin_fours r12, 2f, 3f, 4f
1:
    add_edges                   /* 20 */
2:
    add_edges                   /* 20 */
3:
    add_edges                   /* 20 */
4:
    add_edges                   /* 20 */
    cmp r0, r12                 /* 1 */
    bne 1b                      /* 2 */
    store_sums
    .size pt_rows4, . - pt_rows4
    .global __stack_pt_rows4
    .set __stack_pt_rows4, 40

/* r2 moves on to the next row. */
.macro add_masked_edge sum
    ldrsb r3, [r5, r2]          /* 2 */
    cmp r3, r7                  /* 1 */
    blt 3f                      /* 1 */
    ldrsb r3, [r4, r2]          /* 2 */
    muls r3, r1                 /* 1 */
    add \sum, r3                /* 1 */
3:
.endm

.macro add_masked_edges
    ldm r0!, {r2}               /* 2 */
    sxtb r1, r2                 /* 1 */
    lsrs r2, #8                 /* 1 */
    add_masked_edge r8          /* 8, pruned 5 */
    add r2, r12                 /* 1 */
    add_masked_edge r9
    add r2, r12
    add_masked_edge r10
    add r2, r12
    add_masked_edge r11
.endm

/*
 * The same with masks: 39.8 cycles for each input that is not zero, 3 less for each pruned edge.
 *   r0 list  r1 value  r2 k, moved on by row  r3 score, weight  r4 weights  r5 scores  r6 end
 *   r7 threshold  r8-r11 sums  r12 length
 */
    start_function pt_rows4_masked
    load_job
    mov r12, r1
    ldr r5, [r0, #ROWS_SCORES]
    ldr r6, [r0, #ROWS_END]
    ldr r7, [r0, #ROWS_THRESHOLD]
    ldr r0, [r0, #ROWS_LIST]
    begin_fours r6, 2f, 4f, 5f
1:
    add_masked_edges            /* 39 */
2:
    add_masked_edges            /* 39 */
4:
    add_masked_edges            /* 39 */
5:
    add_masked_edges            /* 39 */
    cmp r0, r6                  /* 1 */
    bne 1b                      /* 2 */
    store_sums
    .size pt_rows4_masked, . - pt_rows4_masked
    .global __stack_pt_rows4_masked
    .set __stack_pt_rows4_masked, 40

    .equ WORDS_PAIRS, 0
    .equ WORDS_END, 4
    .equ WORDS_WEIGHTS, 8
    .equ WORDS_SCORES, 12
    .equ WORDS_THRESHOLD, 16

.macro add_word masked, positive
.if \masked
    mov r4, r9                  /* 1 */
    ldr r4, [r1, r4]            /* 2 */
    ldm r1!, {r3}               /* 2 */
    find_pruned r4, r5, r7, r10, \positive /* 5, 6 */
    beq 2f                      /* 2 */
    prune r3, r4, r5
2:
.else
    ldm r1!, {r3}               /* 2 */
.endif
    eors r3, r7                 /* 1 */
    movs r4, r3                 /* 1 */
    ands r4, r2                 /* 1 */
    ldm r0!, {r5, r6}           /* 3 */
    muls r4, r5                 /* 1 */
    lsrs r4, #16                /* 1 */
    add r8, r4                  /* 1 */
    lsrs r3, #8                 /* 1 */
    ands r3, r2                 /* 1 */
    muls r3, r6                 /* 1 */
    lsrs r3, #16                /* 1 */
    add r8, r3                  /* 1 */
.endm

/*
 * One row, four edges at a time: 18.5 cycles, with masks 28.5 to 33. Bytes w + 128 are
 * u0 + u2 * 2^16 and u1 + u3 * 2^16; the middle of each product with its pair is
 * a0 * u0 + a2 * u2 < 2^16.
 *   r0 pairs  r1 weights  r2 0x00ff00ff  r3-r6 scratch  r7 0x80808080
 *   r8 sum  r9 scores  r10 minus the threshold  r12 end
 */
.macro row_words name, masked, positive
    start_function \name
    save_all
    ldr r1, [r0, #WORDS_END]
    mov r12, r1
    movs r1, #0
    mov r8, r1
.if \masked
    ldr r1, [r0, #WORDS_SCORES]
    mov r9, r1
    ldr r1, [r0, #WORDS_THRESHOLD]
    rsbs r1, r1, #0
    mov r10, r1
.endif
    ldr r1, [r0, #WORDS_WEIGHTS]
    ldr r0, [r0, #WORDS_PAIRS]
    ldr r2, =0x00ff00ff
    ldr r7, =0x80808080
1:
    add_word \masked, \positive
    cmp r0, r12                 /* 1 */
    beq 3f                      /* 1 */
    add_word \masked, \positive
    cmp r0, r12                 /* 1 */
    bne 1b                      /* 2 */
3:
    mov r0, r8
    restore_all
    .ltorg
    .size \name, . - \name
    .global __stack_\name
    .set __stack_\name, 36
.endm

    row_words pt_row_words, 0, 0
    row_words pt_row_words_masked_negative, 1, 0
    row_words pt_row_words_masked_positive, 1, 1

    .equ COLUMNS_ROWS, 0
    .equ COLUMNS_END, 4
    .equ COLUMNS_SUMS, 8
    .equ COLUMNS_LENGTH, 12
    .equ COLUMNS_SCORES, 16
    .equ COLUMNS_THRESHOLD, 20
    .equ COLUMNS_NEEDED, 24

    .equ JOB, 0
    .equ AT, 4                  /* column */
    .equ LEFT, 8
    .equ SUMS, 12
    .equ NEEDED, 16

.macro add_row masked, positive
    ldm r0!, {r1, r2}           /* 3 */
    adds r2, r3                 /* 1 */
    ldr r4, [r2]                /* 2 */
.if \masked
    ldr r5, [r2, r7]            /* 2 */
    find_pruned r5, r2, r6, lr, \positive /* 5, 6 */
    beq 3f                      /* 2 */
    prune r4, r5, r2
3:
.endif
    sxtb r5, r4                 /* 1 */
    muls r5, r1                 /* 1 */
    add r8, r5                  /* 1 */
    lsls r5, r4, #16            /* 1 */
    asrs r5, #24                /* 1 */
    muls r5, r1                 /* 1 */
    add r9, r5                  /* 1 */
    lsls r5, r4, #8             /* 1 */
    asrs r5, #24                /* 1 */
    muls r5, r1                 /* 1 */
    add r10, r5                 /* 1 */
    asrs r4, #24                /* 1 */
    muls r4, r1                 /* 1 */
    add r11, r4                 /* 1 */
.endm

/*
 * Four columns at once, down all rows: 22.5 cycles for each row, with masks 30.5 to 35; 21 for four
 * that are not needed.
 *   r0 rows  r1 error  r2 weights, then scratch  r3 column  r4 four weights  r5 scratch
 *   r6 0x80808080  r7 scores  r8-r11 sums  r12 end  lr minus the threshold in every byte (masked)
 */
.macro columns name, masked, positive
    start_function \name
    save_all
    sub sp, #20
    str r0, [sp, #JOB]
    ldr r1, [r0, #COLUMNS_NEEDED]
    str r1, [sp, #NEEDED]
    ldr r1, [r0, #COLUMNS_END]
    mov r12, r1
    ldr r1, [r0, #COLUMNS_LENGTH]
    str r1, [sp, #LEFT]
    ldr r1, [r0, #COLUMNS_SUMS]
    str r1, [sp, #SUMS]
.if \masked
    ldr r7, [r0, #COLUMNS_SCORES]
    ldr r1, [r0, #COLUMNS_THRESHOLD]
    rsbs r1, r1, #0
    mov lr, r1
.endif
    movs r3, #0
1:
    ldr r0, [sp, #SUMS]
    ldr r1, [sp, #NEEDED]
    cmp r1, #0
    beq 5f
    ldr r1, [r1, r3]
    cmp r1, #0
    bne 5f
    adds r0, #16
    b 6f
5:
    movs r1, r0
    ldr r2, [sp, #JOB]
    ldr r0, [r2, #COLUMNS_ROWS]
    ldm r1!, {r2, r4-r6}
    mov r8, r2
    mov r9, r4
    mov r10, r5
    mov r11, r6
.if \masked
    ldr r6, =0x80808080
.endif
2:
    add_row \masked, \positive
    cmp r0, r12                 /* 1 */
    beq 4f                      /* 1 */
    add_row \masked, \positive
    cmp r0, r12                 /* 1 */
    bne 2b                      /* 2 */
4:
    ldr r0, [sp, #SUMS]
    mov r1, r8
    mov r2, r9
    mov r4, r10
    mov r5, r11
    stm r0!, {r1, r2, r4, r5}
6:
    str r0, [sp, #SUMS]
    adds r3, #4
    ldr r1, [sp, #LEFT]
    subs r1, #4
    str r1, [sp, #LEFT]
    bne 1b
    add sp, #20
    restore_all
    .ltorg
    .size \name, . - \name
    .global __stack_\name
    .set __stack_\name, 56
.endm

    columns pt_columns, 0, 0
    columns pt_columns_masked_negative, 1, 0
    columns pt_columns_masked_positive, 1, 1
