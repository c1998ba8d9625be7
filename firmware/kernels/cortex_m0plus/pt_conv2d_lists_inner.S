/*
 * The lists of the tuned convolution (pt_conv2d_inner.h). Cycles stand beside the instructions of
 * the loops that matter.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"
#include "kernels/pt_skips.h"

    .equ COLUMNS_PIXEL, 0
    .equ COLUMNS_ENTRY, 4
    .equ COLUMNS_INDEX, 8
    .equ COLUMNS_INDEX_END, 12
    .equ COLUMNS_OFFSET, 16
    .equ COLUMNS_WIDTH, 20
    .equ COLUMNS_SIZE, 24
    .equ COLUMNS_ROW_STEP, 28

    .equ LIST_PIXEL, 0
    .equ LIST_ENTRY, 4
    .equ LIST_INDEX, 8
    .equ LIST_INDEX_END, 12
    .equ LIST_OFFSET, 16
    .equ LIST_WORDS, 20
    .equ LIST_BITS, 24

/* One element, the low byte of the word in r4: 8 cycles, 4 where it is 0 and skipped. */
.macro list_element
    sxtb r3, r4                 /* 1 */
.if PT_SKIP_ZEROS
    cmp r3, #0                  /* 1 */
    beq 3f                      /* 1 */
.endif
    stm r1!, {r3, r5}           /* 3 */
3:
    lsrs r4, #8                 /* 1 */
    adds r5, #16                /* 1 */
.endm

/*
 * r0 pixel  r1 entry  r2 index  r3 value  r4 word  r5 lane offset  r6 words left  r7 words of a
 * pixel  r8 bits  r9 end of the index; 10 cycles for a zero word
 */
    start_function pt_list_words
    save_all
    push {r0}
    ldr r1, [r0, #LIST_ENTRY]
    ldr r2, [r0, #LIST_INDEX]
    ldr r3, [r0, #LIST_INDEX_END]
    mov r9, r3
    ldr r7, [r0, #LIST_WORDS]
    ldr r3, [r0, #LIST_BITS]
    mov r8, r3
    ldr r5, [r0, #LIST_OFFSET]
    ldr r0, [r0, #LIST_PIXEL]
1:
    stm r2!, {r1}               /* 2 */
    movs r6, r7                 /* 1 */
2:
    ldm r0!, {r4}               /* 2 */
.if PT_SKIP_ZEROS
    cmp r4, #0                  /* 1 */
    beq 4f                      /* 2 */
.endif
    mov r3, r8
    orrs r3, r4
    mov r8, r3
    list_element
    list_element
    list_element
    list_element
    subs r6, #1
    bne 2b
    b 5f
4:
    adds r5, #64                /* 1 */
    subs r6, #1                 /* 1 */
    bne 2b                      /* 2 */
5:
    cmp r2, r9
    bne 1b
    pop {r0}
    str r1, [r0, #LIST_ENTRY]
    mov r1, r8
    str r1, [r0, #LIST_BITS]
    restore_all
    .size pt_list_words, . - pt_list_words
    .global __stack_pt_list_words
    .set __stack_pt_list_words, 40

/* The pixel of row r4: 7 cycles for a zero, 9 for others. */
.macro list_pixel
    ldrsb r3, [r0, r4]          /* 2 */
.if PT_SKIP_ZEROS
    cmp r3, #0                  /* 1 */
    beq 5f                      /* 1, 2 */
.endif
    stm r1!, {r3, r5}           /* 3 */
5:
    adds r5, r7                 /* 1 */
.endm

/*
 * r0 pixel  r1 entry  r2 index  r3 value  r4 row  r5 lane offset  r6 width  r7 row step
 * r8 offset of the column  r9 end of the index  r11 end of the group of columns
 * r12 size  lr that of three rows; 8 cycles for a zero, 10 for others. Where all rows begin on
 * a word boundary a group is four columns, and takes 27 cycles and 7 for each row if they are 0.
 */
    start_function pt_list_columns
    save_all
    push {r0}
    ldr r1, [r0, #COLUMNS_ENTRY]
    ldr r2, [r0, #COLUMNS_INDEX]
    ldr r3, [r0, #COLUMNS_INDEX_END]
    mov r9, r3
    ldr r3, [r0, #COLUMNS_OFFSET]
    mov r8, r3
    ldr r6, [r0, #COLUMNS_WIDTH]
    ldr r3, [r0, #COLUMNS_SIZE]
    mov r12, r3
    adds r3, r6, r6
    adds r3, r6
    mov lr, r3
    ldr r7, [r0, #COLUMNS_ROW_STEP]
    ldr r0, [r0, #COLUMNS_PIXEL]
1:
    mov r11, r9
.if PT_SKIP_ZEROS
    mov r3, r0                  /* 1 */
    orrs r3, r6                 /* 1 */
    lsls r3, #30                /* 1 */
    bne 3f                      /* 1 */
    movs r4, #0                 /* 1 */
2:
    ldr r5, [r0, r4]            /* 2 */
    orrs r3, r5                 /* 1 */
    adds r4, r6                 /* 1 */
    cmp r4, r12                 /* 1 */
    bne 2b                      /* 2 */
    movs r4, #16                /* 1 */
    add r4, r2                  /* 1 */
    mov r11, r4                 /* 1 */
    cmp r3, #0                  /* 1 */
    bne 3f                      /* 1 */
    stm r2!, {r1}               /* 2 */
    stm r2!, {r1}               /* 2 */
    stm r2!, {r1}               /* 2 */
    stm r2!, {r1}               /* 2 */
    adds r0, #4                 /* 1 */
    movs r3, #64                /* 1 */
    add r8, r3                  /* 1 */
    b 6f                        /* 2 */
.endif
3:
    stm r2!, {r1}               /* 2 */
    mov r5, r8                  /* 1 */
    movs r4, #0                 /* 1 */
    cmp r12, lr                 /* 1 */
    bne 8f                      /* 1 */
    list_pixel                  /* 7 */
    adds r4, r6                 /* 1 */
    list_pixel                  /* 7 */
    adds r4, r6                 /* 1 */
    list_pixel                  /* 7 */
7:
    movs r3, #16                /* 1 */
    add r8, r3                  /* 1 */
    adds r0, #1                 /* 1 */
    cmp r2, r11                 /* 1 */
    bne 3b                      /* 2 */
6:
    cmp r2, r9                  /* 1 */
    bne 1b                      /* 2 */
    pop {r0}
    str r1, [r0, #COLUMNS_ENTRY]
    str r2, [r0, #COLUMNS_INDEX]
    restore_all
8:                              /* any number of rows */
    list_pixel                  /* 7 */
    adds r4, r6                 /* 1 */
    cmp r4, r12                 /* 1 */
    bne 8b                      /* 2 */
    b 7b
    .size pt_list_columns, . - pt_list_columns
    .global __stack_pt_list_columns
    .set __stack_pt_list_columns, 40
