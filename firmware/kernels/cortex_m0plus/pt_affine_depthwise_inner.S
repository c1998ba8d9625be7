/*
 * The inner loops of the tuned depthwise 3x3 layer (pt_affine_depthwise_inner.h). Cycles stand
 * beside the instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"

    .equ GATHER_STEP, 4
    .equ GATHER_INSIDE, 20

    /* On the stack, from sp: */
    .equ LEFT_END, 0
    .equ LEFT_GAP, 4

/*
 *   r0 source  r1 0  r2 words  r7 step  r8 end of the row  r9 two steps  r10 from a row to the next
 *   r11 bytes of the elements of a row but for r12 single ones, fewer than 2^\unrolled  lr zero
 */
.macro load_gather unrolled
    save_all
    movs r1, r0
    adds r1, #GATHER_INSIDE
    ldm r1!, {r2-r4}
    push {r3}
    mov lr, r4
    movs r1, r0
    adds r1, #GATHER_STEP
    ldm r1!, {r3-r6}
    push {r6}
    mov r10, r4
    movs r7, r3
    adds r1, r3, r3
    mov r9, r1
    lsrs r4, r2, #\unrolled
    lsls r4, #\unrolled
    subs r2, r4
    mov r12, r2
    muls r4, r3
    mov r11, r4
    movs r2, r5
    ldr r0, [r0]
    movs r1, #0
.endm

/* To \row unless that was the last. */
.macro next_gather row
    add r0, r10                 /* 1 */
    ldr r5, [sp, #LEFT_END]     /* 2 */
    cmp r2, r5                  /* 1 */
    blo \row                    /* 2 */
    add sp, #8
    restore_all
.endm

/* r6 end of the row, that of single elements first; to \none where there are none. */
.macro row_end none
    mov r6, r11                 /* 1 */
    adds r6, r0                 /* 1 */
    mov r8, r6                  /* 1 */
    cmp r0, r8                  /* 1 */
    beq \none                   /* 1, 2 */
.endm

/* 7.5 cycles for an element. r3 the element before, r4 an element, r5, r6 words. */
    start_function pt_affine_gather_1
    load_gather 1
1:
    mov r3, lr                  /* 1 */
    mov r6, r12                 /* 1 */
    cmp r6, #0                  /* 1 */
    beq 4f                      /* 1, 2 */
    ldrsb r4, [r0, r1]          /* 2 */
    adds r0, r7                 /* 1 */
    lsls r5, r4, #16            /* 1 */
    adds r5, r3                 /* 1 */
    stm r2!, {r5}               /* 2 */
    movs r3, r4                 /* 1 */
4:
    row_end 6f                  /* 5 */
5:
    ldrsb r4, [r0, r1]          /* 2 */
    lsls r5, r4, #16            /* 1 */
    adds r5, r3                 /* 1 */
    ldrsb r3, [r0, r7]          /* 2 */
    lsls r6, r3, #16            /* 1 */
    adds r6, r4                 /* 1 */
    add r0, r9                  /* 1 */
    stm r2!, {r5, r6}           /* 3 */
    cmp r0, r8                  /* 1 */
    bne 5b                      /* 2 */
6:
    mov r4, lr                  /* 1 */
    lsls r5, r4, #16            /* 1 */
    adds r3, r5                 /* 1 */
    adds r4, r5                 /* 1 */
    ldr r6, [sp, #LEFT_GAP]     /* 2 */
    b 8f                        /* 2 */
7:
    stm r2!, {r3}               /* 2 */
    movs r3, r4                 /* 1 */
8:
    subs r6, #1                 /* 1 */
    bpl 7b                      /* 1, 2 */
    next_gather 1b
    .size pt_affine_gather_1, . - pt_affine_gather_1
    .global __stack_pt_affine_gather_1
    .set __stack_pt_affine_gather_1, 44

/* Two elements, \a and \b, behind \c and \d: these become words. */
.macro gather_two a, b, c, d
    ldrsb \a, [r0, r1]          /* 2 */
    ldrsb \b, [r0, r7]          /* 2 */
    add r0, r9                  /* 1 */
    lsls \a, #16                /* 1 */
    adds \c, \a                 /* 1 */
    asrs \a, #16                /* 1 */
    lsls \b, #16                /* 1 */
    adds \d, \b                 /* 1 */
    asrs \b, #16                /* 1 */
    stm r2!, {\c, \d}           /* 3 */
.endm

/* 7.8 cycles for an element. r3, r4 the elements before, then words; so r5, r6. */
    start_function pt_affine_gather_2
    load_gather 2
1:
    mov r3, lr                  /* 1 */
    mov r4, lr                  /* 1 */
    mov r6, r12                 /* 1 */
    b 3f                        /* 2 */
2:
    ldrsb r5, [r0, r1]          /* 2 */
    adds r0, r7                 /* 1 */
    lsls r5, #16                /* 1 */
    adds r3, r5                 /* 1 */
    stm r2!, {r3}               /* 2 */
    movs r3, r4                 /* 1 */
    asrs r4, r5, #16            /* 1 */
3:
    subs r6, #1                 /* 1 */
    bpl 2b                      /* 1, 2 */
    row_end 6f                  /* 5 */
5:
    gather_two r5, r6, r3, r4   /* 14 */
    gather_two r3, r4, r5, r6   /* 14 */
    cmp r0, r8                  /* 1 */
    bne 5b                      /* 2 */
6:
    mov r5, lr                  /* 1 */
    ldr r6, [sp, #LEFT_GAP]     /* 2 */
    b 8f                        /* 2 */
7:
    lsls r1, r5, #16            /* 1 */
    adds r3, r1                 /* 1 */
    stm r2!, {r3}               /* 2 */
    movs r3, r4                 /* 1 */
    movs r4, r5                 /* 1 */
8:
    subs r6, #1                 /* 1 */
    bpl 7b                      /* 1, 2 */
    movs r1, #0                 /* 1 */
    next_gather 1b
    .size pt_affine_gather_2, . - pt_affine_gather_2
    .global __stack_pt_affine_gather_2
    .set __stack_pt_affine_gather_2, 44

    /* On the stack, from sp: */
    .equ LEFT_WORDS, 0
    .equ LEFT_PAIR, 4
    .equ LEFT_PAIRS, 8
    .equ LEFT_NEXT_ROW, 12
    .equ LEFT_ODD, 16
    .equ LEFT_ROWS, 20
    .equ LEFT_START, 24
    .equ LEFT_WEIGHTS, 28
    .equ LEFT_SIZE, 56

.macro weigh word, number
    ldr r6, [sp, #LEFT_WEIGHTS + 4 * \number] /* 2 */
    muls \word, r6              /* 1 */
.endm

/* The upper half of \word, rounded, to \sum. */
.macro take_upper word, sum
    asrs \word, #16             /* 1 */
    adcs \sum, \word            /* 1 */
.endm

/* The two sums in \group go to the sum of all, r8, and the upper one to r5. */
.macro take group
    add r8, \group              /* 1 */
    take_upper \group, r5       /* 2 */
.endm

/* Two terms of either output: the words times r6, two weights. */
.macro two_terms
    muls r1, r6                 /* 1 */
    take_upper r1, r4           /* 2 */
    muls r2, r6                 /* 1 */
    take_upper r2, r5           /* 2 */
.endm

/* Both halves of r3: a term, or two, of either output. */
.macro take_halves
    sxth r6, r3                 /* 1 */
    adds r4, r6                 /* 1 */
    take_upper r3, r5           /* 2 */
.endm

/*
 * 65 cycles for two outputs with words of stride 1, 73 with those of stride 2.
 *   r0 words  r1-r3 words of a row  r4, r5 sums; with stride 2 r4 a word, r5 the upper sum
 *   r6 scratch  r7 where sums go  r8 a product; the sum of all  r9 to the next row
 *   r10 to the next pair  r11, lr weights 0 and 1, the others on the stack  r12 end of the row
 */
    start_function pt_affine_taps
    save_all
    sub sp, #LEFT_SIZE
    movs r6, r0
    ldm r6!, {r0-r4}
    mov r12, r0
    movs r7, r1
    add r5, sp, #LEFT_PAIR
    stm r5!, {r3, r4}
    movs r4, r2
    subs r4, #12
    mov r9, r4
    lsls r4, r2, #1
    adds r4, #12
    subs r3, r4
    mov r10, r3
    ldm r6!, {r1-r4}
    stm r5!, {r1-r4}
    ldm r6!, {r1-r4}
    mov r11, r1
    mov lr, r2
    stm r5!, {r3, r4}
    ldm r6!, {r0-r4}
    stm r5!, {r0-r4}
    mov r0, r12
1:
    str r0, [sp, #LEFT_WORDS]   /* 2 */
    ldr r1, [sp, #LEFT_PAIRS]   /* 2 */
    adds r1, r0                 /* 1 */
    mov r12, r1                 /* 1 */
    ldr r1, [sp, #LEFT_PAIR]    /* 2 */
    cmp r1, #8                  /* 1 */
    bne 4f                      /* 1, 2 */
2:
    ldm r0!, {r1-r3}            /* 4 */
    ldr r4, [sp, #LEFT_START]   /* 2 */
    movs r5, r4                 /* 1 */
    mov r6, r11                 /* 1 */
    two_terms                   /* 6 */
    weigh r3, 1                 /* 3 */
    mov r8, r3                  /* 1 */
    add r0, r9                  /* 1 */
    ldm r0!, {r1-r3}            /* 4 */
    mov r6, lr                  /* 1 */
    two_terms                   /* 6 */
    weigh r3, 2                 /* 3 */
    add r3, r8                  /* 1 */
    take_halves                 /* 4 */
    add r0, r9                  /* 1 */
    ldm r0!, {r1-r3}            /* 4 */
    ldr r6, [sp, #LEFT_WEIGHTS] /* 2 */
    two_terms                   /* 6 */
    weigh r3, 3                 /* 3 */
    take_halves                 /* 4 */
    add r0, r10                 /* 1 */
    stm r7!, {r4, r5}           /* 3 */
    cmp r0, r12                 /* 1 */
    bne 2b                      /* 2 */
3:
    ldr r0, [sp, #LEFT_WORDS]   /* 2 */
    ldr r1, [sp, #LEFT_NEXT_ROW] /* 2 */
    adds r0, r1                 /* 1 */
    ldr r1, [sp, #LEFT_ODD]     /* 2 */
    subs r7, r1                 /* 1 */
    ldr r1, [sp, #LEFT_ROWS]    /* 2 */
    subs r1, #1                 /* 1 */
    str r1, [sp, #LEFT_ROWS]    /* 2 */
    bne 1b                      /* 2 */
    add sp, #LEFT_SIZE
    restore_all
4:
    ldm r0!, {r1-r3}            /* 4 */
    mov r6, r11                 /* 1 */
    muls r1, r6                 /* 1 */
    mov r6, lr                  /* 1 */
    muls r2, r6                 /* 1 */
    adds r1, r2                 /* 1 */
    mov r8, r1                  /* 1 */
    movs r5, #0                 /* 1 */
    take_upper r1, r5           /* 2 */
    weigh r3, 0                 /* 3 */
    add r0, r9                  /* 1 */
    ldm r0!, {r1, r2, r4}       /* 4 */
    weigh r1, 1                 /* 3 */
    adds r1, r3                 /* 1 */
    take r1                     /* 3 */
    weigh r2, 2                 /* 3 */
    weigh r4, 3                 /* 3 */
    adds r2, r4                 /* 1 */
    take r2                     /* 3 */
    add r0, r9                  /* 1 */
    ldm r0!, {r1-r3}            /* 4 */
    weigh r1, 4                 /* 3 */
    weigh r2, 5                 /* 3 */
    adds r1, r2                 /* 1 */
    take r1                     /* 3 */
    weigh r3, 6                 /* 3 */
    take r3                     /* 3 */
    add r0, r10                 /* 1 */
    mov r4, r8                  /* 1 */
    lsls r2, r5, #16            /* 1 */
    subs r4, r2                 /* 1 */
    ldr r6, [sp, #LEFT_START]   /* 2 */
    adds r4, r6                 /* 1 */
    adds r5, r6                 /* 1 */
    stm r7!, {r4, r5}           /* 3 */
    cmp r0, r12                 /* 1 */
    bne 4b                      /* 2 */
    b 3b                        /* 2 */
    .size pt_affine_taps, . - pt_affine_taps
    .global __stack_pt_affine_taps
    .set __stack_pt_affine_taps, 92
