/*
 * The inner loops of the tuned convolution with its pool (pt_conv2d_pool_inner.h). Cycles stand
 * beside the instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"
#include "kernels/pt_skips.h"

    .equ POOL_UPPER, 0
    .equ POOL_LOWER, 4
    .equ POOL_UPPER_END, 8
    .equ POOL_OUTPUT, 12
    .equ POOL_PLACES, 16
    .equ POOL_STEP, 20

/* \a <- the larger of each byte of \a and \b, 0..127, and r6 <- the top bit where it is that of \a;
 * r7 is 0x80808080, r1 is scratch: 9 cycles. */
.macro larger a, b
    movs r6, \a                 /* 1 */
    orrs r6, r7                 /* 1 */
    subs r6, \b                 /* 1 */
    ands r6, r7                 /* 1: the top bit of a byte where a >= b */
    lsrs r1, r6, #7             /* 1 */
    subs r1, r6, r1             /* 1: 0x7f there */
    eors \a, \b                 /* 1 */
    ands \a, r1                 /* 1 */
    eors \a, \b                 /* 1 */
.endm

/*
 * Four channels of a window, \at bytes behind the first: 63 cycles, 16 where all are 0. The larger
 * of either row, and the larger of those; so the first of equal ones. A multiplication brings the
 * bits of four channels together, which say upper row and left column until they are turned
 * around.
 */
.macro pool_four at
    ldr r2, [r0, #\at]          /* 2 */
    ldr r3, [r0, #\at + 8]      /* 2 */
    mov r6, r12                 /* 1 */
    adds r6, #16 + \at          /* 1 */
    ldr r4, [r0, r6]            /* 2 */
    adds r6, #8                 /* 1 */
    ldr r5, [r0, r6]            /* 2 */
.if PT_SKIP_ZEROS
    movs r1, r2                 /* 1 */
    orrs r1, r3                 /* 1 */
    orrs r1, r4                 /* 1 */
    orrs r1, r5                 /* 1 */
    beq 3f                      /* 1, 2 */
.endif
    larger r2, r3               /* 9 */
    movs r3, r6                 /* 1 */
    larger r4, r5               /* 9 */
    movs r5, r6                 /* 1 */
    larger r2, r4               /* 9 */
    mov r1, r10                 /* 1 */
    str r2, [r1, #\at]          /* 2 */
    eors r3, r5                 /* 1 */
    ands r3, r6                 /* 1 */
    eors r3, r5                 /* 1: the column of the row that r6 says */
    lsrs r3, #7                 /* 1 */
    lsrs r6, #6                 /* 1 */
    orrs r3, r6                 /* 1 */
    mov r1, r9                  /* 1 */
    muls r3, r1                 /* 1 */
    lsrs r3, #24                /* 1 */
    mvns r3, r3                 /* 1 */
    mov r1, r11                 /* 1 */
    strb r3, [r1, #\at / 4]     /* 2 */
3:
.endm

/*
 * Eight channels of a window: 32 cycles where all are 0.
 *   r0 upper  r1-r6 scratch  r7 0x80808080  r9 moves four pairs of bits together
 *   r10 output  r11 places  r12 from upper to lower less 16  lr step
 */
    start_function pt_pool_rows
    save_all
    ldr r1, [r0, #POOL_UPPER_END]
    push {r1}
    ldr r1, [r0, #POOL_OUTPUT]
    mov r10, r1
    ldr r1, [r0, #POOL_PLACES]
    mov r11, r1
    ldr r1, [r0, #POOL_STEP]
    mov lr, r1
    ldr r7, =0x80808080
    ldr r1, =0x01041040
    mov r9, r1
    ldr r1, [r0, #POOL_LOWER]
    ldr r0, [r0, #POOL_UPPER]
    subs r1, r0
    subs r1, #16
    mov r12, r1
1:
.if PT_SKIP_ZEROS
    ldm r0!, {r2-r5}            /* 5 */
    orrs r2, r3                 /* 1 */
    orrs r4, r5                 /* 1 */
    orrs r2, r4                 /* 1 */
    mov r6, r12                 /* 1 */
    adds r6, r0                 /* 1 */
    ldm r6!, {r3-r5}            /* 4 */
    orrs r2, r3                 /* 1 */
    orrs r4, r5                 /* 1 */
    orrs r2, r4                 /* 1 */
    ldr r3, [r6]                /* 2 */
    orrs r2, r3                 /* 1 */
    bne 4f                      /* 1, 2 */
.else
    adds r0, #16
    b 4f
.endif
2:
    mov r1, lr                  /* 1 */
    add r10, r1                 /* 1 */
    lsrs r1, #2                 /* 1 */
    add r11, r1                 /* 1 */
    ldr r1, [sp]                /* 2 */
    cmp r0, r1                  /* 1 */
    bne 1b                      /* 2 */
    pop {r1}
    restore_all
4:
    subs r0, #16
    pool_four 0
    pool_four 4
    adds r0, #16
    b 2b
    .ltorg
    .size pt_pool_rows, . - pt_pool_rows
    .global __stack_pt_pool_rows
    .set __stack_pt_pool_rows, 40

    .equ PLACES_PIXEL, 0
    .equ PLACES_PLACES, 4
    .equ PLACES_ENTRY, 8
    .equ PLACES_INDEX, 12
    .equ PLACES_INDEX_END, 16
    .equ PLACES_OFFSET, 20
    .equ PLACES_WORDS, 24
    .equ PLACES_ROW, 28

/* One element, the low byte of the word in r4, if its place, the low bits in r7, is 0: 9 cycles, 7
 * where it is not, 12 where it is listed. */
.macro list_place
    lsls r3, r7, #30            /* 1 */
    bne 3f                      /* 1, 2 */
    sxtb r3, r4                 /* 1 */
.if PT_SKIP_ZEROS
    cmp r3, #0                  /* 1 */
    beq 3f                      /* 1, 2 */
.endif
    stm r1!, {r3, r5}           /* 3 */
3:
    lsrs r4, #8                 /* 1 */
    lsrs r7, #2                 /* 1 */
    adds r5, #16                /* 1 */
.endm

/*
 * 11 cycles for a zero word, twice.
 *   r0 pixel  r1 entry  r2 places  r3 value  r4 word  r5 lane offset  r6 end of the pixel
 *   r7 places of a word  r8 the places that count  r9 end of the index  r10 index
 *   r11 bytes of a pixel  r12 begin of the pixel  lr or of its words
 */
    start_function pt_list_places
    save_all
    push {r0}
    ldr r1, [r0, #PLACES_INDEX]
    mov r10, r1
    ldr r1, [r0, #PLACES_INDEX_END]
    mov r9, r1
    ldr r1, [r0, #PLACES_WORDS]
    lsls r1, #2
    mov r11, r1
    ldr r1, [r0, #PLACES_ROW]
    mov r8, r1
    ldr r1, [r0, #PLACES_ENTRY]
    ldr r2, [r0, #PLACES_PLACES]
    ldr r5, [r0, #PLACES_OFFSET]
    ldr r0, [r0, #PLACES_PIXEL]
1:
    mov r12, r0                 /* 1 */
    mov r6, r11                 /* 1 */
    adds r6, r0                 /* 1 */
    movs r3, #0                 /* 1 */
    mov lr, r3                  /* 1 */
2:                              /* a column */
    mov r3, r10                 /* 1 */
    stm r3!, {r1}               /* 2 */
    mov r10, r3                 /* 1 */
4:
    ldm r0!, {r4}               /* 2 */
.if PT_SKIP_ZEROS
    cmp r4, #0                  /* 1 */
    beq 5f                      /* 2 */
.endif
    mov r3, lr
    orrs r3, r4
    mov lr, r3
    ldrb r7, [r2]
    mov r3, r8
    eors r7, r3
    list_place
    list_place
    list_place
    list_place
    adds r2, #1
    cmp r0, r6
    bne 4b
    b 6f
5:
    adds r5, #64                /* 1 */
    adds r2, #1                 /* 1 */
    cmp r0, r6                  /* 1 */
    bne 4b                      /* 2 */
6:
    mov r3, r8                  /* the other column */
    movs r4, #0x55
    eors r3, r4
    mov r8, r3
    tst r3, r4
    beq 7f                      /* was the second */
.if PT_SKIP_ZEROS
    mov r4, lr
    cmp r4, #0
    beq 8f
.endif
    mov r0, r12
    mov r4, r11
    lsrs r4, #2
    subs r2, r4
    b 2b
8:                              /* nothing in the second column either */
    movs r4, #0x55
    eors r3, r4
    mov r8, r3
    mov r3, r10
    stm r3!, {r1}
    mov r10, r3
    mov r4, r11
    lsls r4, #4
    adds r5, r4
7:
    cmp r10, r9
    bne 1b
    pop {r0}
    str r1, [r0, #PLACES_ENTRY]
    restore_all
    .size pt_list_places, . - pt_list_places
    .global __stack_pt_list_places
    .set __stack_pt_list_places, 40
