/*
 * The inner loops of the tuned affine layers with weights (pt_affine_rows_inner.h). Cycles stand
 * beside the instructions.
 */
#include "kernels/cortex_m0plus/pt_macros.inc"

    .equ PAIRS_PATCH, 0
    .equ PAIRS_END, 8
    .equ PAIRS_PAIRS, 12

/* Four bytes at \from!: \first, \second; r7 mask, r8 what is complemented, r9 what is added. */
.macro pair_up from, first, second
    ldm \from!, {\second}       /* 2 */
    rev \second, \second        /* 1 */
    mov \first, r8              /* 1 */
    eors \second, \first        /* 1: a + 128 or 127 - a */
    lsrs \first, \second, #8    /* 1 */
    ands \first, r7             /* 1 */
    add \first, r9              /* 1 */
    ands \second, r7            /* 1 */
    add \second, r9             /* 1 */
.endm

/*
 * 28 cycles for eight bytes.
 *   r0, r1 patches  r2 pairs  r3-r6 words  r7 0x00ff00ff  r8, r9 constants  r10 end
 */
    start_function pt_affine_pairs
    save_all
    ldr r1, =0x7f7f8080
    mov r8, r1
    ldr r1, =-0x007f0080
    mov r9, r1
    ldr r7, =0x00ff00ff
    ldr r1, [r0, #PAIRS_END]
    mov r10, r1
    ldr r2, [r0, #PAIRS_PAIRS]
    ldr r1, [r0, #PAIRS_PATCH + 4]
    ldr r0, [r0, #PAIRS_PATCH]
1:
    pair_up r0, r3, r5          /* 10 */
    pair_up r1, r4, r6          /* 10 */
    stm r2!, {r3-r6}            /* 5 */
    cmp r0, r10                 /* 1 */
    bne 1b                      /* 2 */
    restore_all
    .balign 4
    .ltorg
    .size pt_affine_pairs, . - pt_affine_pairs
    .global __stack_pt_affine_pairs
    .set __stack_pt_affine_pairs, 36

    .equ PACK_WEIGHTS, 0
    .equ PACK_END, 4
    .equ PACK_WORDS, 8
    .equ PACK_SUM, 12

/*
 * 19 cycles for four weights.
 *   r0 weights  r1 words  r2 sum  r3, r4 words  r5 what is complemented  r6 0x00ff00ff  r7 bits
 *   r8 what is added  r9 end
 */
    start_function pt_affine_pack
    save_all
    push {r0}
    ldr r1, =-0x0080007f
    mov r8, r1
    ldr r1, [r0, #PACK_END]
    mov r9, r1
    ldr r5, =0x80807f7f
    ldr r6, =0x00ff00ff
    movs r2, #0
    movs r7, #0
    ldr r1, [r0, #PACK_WORDS]
    ldr r0, [r0, #PACK_WEIGHTS]
1:
    ldm r0!, {r4}               /* 2 */
    orrs r7, r4                 /* 1 */
    eors r4, r5                 /* 1: 127 - w or w + 128 */
    movs r3, r4                 /* 1 */
    ands r3, r6                 /* 1 */
    add r3, r8                  /* 1 */
    lsrs r4, #8                 /* 1 */
    ands r4, r6                 /* 1 */
    add r4, r8                  /* 1 */
    stm r1!, {r3, r4}           /* 3 */
    adds r2, r3                 /* 1 */
    adds r2, r4                 /* 1 */
    cmp r0, r9                  /* 1 */
    bne 1b                      /* 2 */
    pop {r0}
    str r2, [r0, #PACK_SUM]
    str r7, [r0, #PACK_SUM + 4]
    restore_all
    .balign 4
    .ltorg
    .size pt_affine_pack, . - pt_affine_pack
    .global __stack_pt_affine_pack
    .set __stack_pt_affine_pack, 40

    .equ DOTS_WORDS, 0
    .equ DOTS_WORDS_END, 4
    .equ DOTS_PAIRS, 8
    .equ DOTS_PAIRS_END, 12
    .equ DOTS_SUMS, 16
    .equ DOTS_START, 20

/* \sum <- \sum + the two products of \a and \w */
.macro two_products sum, a, w
    muls \a, \w                 /* 1 */
    asrs \a, #16                /* 1 */
    adcs \sum, \a               /* 1: the bit shifted out rounds */
.endm

.macro four_products
    ldm r0!, {r2, r3}           /* 3 */
    ldm r1!, {r4, r5}           /* 3 */
    two_products r6, r4, r2     /* 3 */
    two_products r7, r5, r2     /* 3 */
    ldm r1!, {r4, r5}           /* 3 */
    two_products r6, r4, r3     /* 3 */
    two_products r7, r5, r3     /* 3 */
.endm

/*
 * Two sums at once: 21 cycles for eight products, 3 more for 32, 17 more for two sums.
 *   r0 words  r1 pairs  r2, r3 words  r4, r5 pairs  r6, r7 sums  r8 end of the words  r9 words
 *   r10 steps left out, times 2^30  r11 end of the pairs  r12 where sums go  lr start
 */
    start_function pt_affine_dots
    save_all
    ldr r1, [r0, #DOTS_WORDS]
    mov r9, r1
    ldr r2, [r0, #DOTS_WORDS_END]
    mov r8, r2
    subs r1, r2
    lsrs r1, #3
    movs r2, #3
    ands r1, r2                 /* steps that the first round leaves out */
    lsls r1, #30
    mov r10, r1
    ldr r1, [r0, #DOTS_PAIRS_END]
    mov r11, r1
    ldr r1, [r0, #DOTS_SUMS]
    mov r12, r1
    ldr r1, [r0, #DOTS_START]
    mov lr, r1
    ldr r1, [r0, #DOTS_PAIRS]
1:
    mov r0, r9                  /* 1 */
    mov r6, lr                  /* 1 */
    mov r7, lr                  /* 1 */
    mov r2, r10                 /* 1 */
    lsls r2, #1                 /* 1 */
    bcs 6f                      /* 1, 2 */
    bmi 3f                      /* 1, 2 */
2:
    four_products
3:
    four_products
4:
    four_products
5:
    four_products
    cmp r0, r8                  /* 1 */
    bne 2b                      /* 2 */
    mov r2, r12                 /* 1 */
    stm r2!, {r6, r7}           /* 3 */
    mov r12, r2                 /* 1 */
    cmp r1, r11                 /* 1 */
    bne 1b                      /* 2 */
    restore_all
6:
    bmi 5b                      /* 1, 2 */
    b 4b                        /* 2 */
    .size pt_affine_dots, . - pt_affine_dots
    .global __stack_pt_affine_dots
    .set __stack_pt_affine_dots, 36

    .equ SCALE_STEP, 12

/*
 *   r0 sums  r1 sum  r2, r3 scratch  r4 m2  r5 shift  r6 output  r7 high  r8 low  r9 m0  r10 m1
 *   r11 constant  r12 step  lr end
 */
.macro load_scale
    save_all
    movs r3, r0
    adds r3, #SCALE_STEP
    ldm r3!, {r1, r2, r4}
    mov r12, r1
    mov r9, r2
    mov r10, r4
    ldm r3!, {r4, r5}
    ldm r3!, {r1, r2, r7}
    mov r11, r1
    mov r8, r2
    ldm r0!, {r1, r2, r6}
    mov lr, r2
    movs r0, r1
.endm

/* r1 <- r1 * m / 2^22, rounded down */
.macro times_m
    mov r2, r9                  /* 1 */
    muls r2, r1                 /* 1 */
    asrs r2, #11                /* 1 */
    mov r3, r10                 /* 1 */
    muls r3, r1                 /* 1 */
    adds r2, r3                 /* 1 */
    asrs r2, #11                /* 1 */
    muls r1, r4                 /* 1 */
    adds r1, r2                 /* 1 */
.endm

/* 36 cycles for an output. */
    start_function pt_affine_scale
    load_scale
1:
    ldm r0!, {r1}               /* 2 */
    movs r2, #1                 /* 1 */
    lsls r2, #20                /* 1 */
    adds r2, r1                 /* 1 */
    lsrs r2, #21                /* 1 */
    bne 3f                      /* 1 */
    times_m                     /* 9 */
    adds r1, #128               /* 1 */
    adds r1, #128               /* 1 */
    asrs r2, r1, #31            /* 1 */
    lsls r2, #9                 /* 1: halves away from zero */
    adds r1, r2                 /* 1 */
    add r1, r11                 /* 1 */
    asrs r1, r5                 /* 1 */
    cmp r1, r7                  /* 1 */
    bgt 4f                      /* 1 */
    cmp r1, r8                  /* 1 */
    blt 5f                      /* 1 */
2:
    strb r1, [r6]               /* 2 */
    add r6, r12                 /* 1 */
    cmp r0, lr                  /* 1 */
    bne 1b                      /* 2 */
    restore_all
3:
    cmp r1, #0
    blt 5f
4:
    movs r1, r7
    b 2b
5:
    mov r1, r8
    b 2b
    .size pt_affine_scale, . - pt_affine_scale
    .global __stack_pt_affine_scale
    .set __stack_pt_affine_scale, 36

/* 25 cycles for an output, 13 where it is low. */
    start_function pt_affine_scale_relu
    load_scale
1:
    ldm r0!, {r1}               /* 2 */
    cmp r1, #0                  /* 1 */
    ble 3f                      /* 1, 2 */
    lsrs r2, r1, #20            /* 1 */
    bne 4f                      /* 1 */
    times_m                     /* 9 */
    add r1, r11                 /* 1 */
    asrs r1, r5                 /* 1 */
    cmp r1, r7                  /* 1 */
    bgt 4f                      /* 1 */
2:
    strb r1, [r6]               /* 2 */
    add r6, r12                 /* 1 */
    cmp r0, lr                  /* 1 */
    bne 1b                      /* 2 */
    restore_all
3:
    mov r1, r8                  /* 1 */
    b 2b                        /* 2 */
4:
    movs r1, r7
    b 2b
    .size pt_affine_scale_relu, . - pt_affine_scale_relu
    .global __stack_pt_affine_scale_relu
    .set __stack_pt_affine_scale_relu, 36

    .equ NEAR_LOW_PART, 20

/* \x to an output; from \far on what is out of bounds. */
.macro scale_near x, far, back
    cmp \x, r10                 /* 1: below 0 too */
    bhs \far                    /* 1, 2 */
    mov r3, r9                  /* 1 */
    muls r3, \x                 /* 1 */
    asrs r3, #15                /* 1 */
    muls \x, r4                 /* 1 */
    adds \x, r3                 /* 1 */
    add \x, r11                 /* 1 */
    asrs \x, r5                 /* 1 */
\back:
    strb \x, [r6]               /* 2 */
    add r6, r12                 /* 1 */
.endm

/* \x, out of bounds, to -128 or 127 */
.macro bound_near x, back
    asrs \x, #31                /* 1 */
    eors \x, r7                 /* 1 */
    b \back                     /* 2 */
.endm

/*
 * 15 cycles for an output, 13 where it is a bound.
 *   r0 sums  r1, r2 sums  r3 scratch  r4 high part  r5 shift  r6 output  r7 127  r9 low part
 *   r10 limit  r11 constant  r12 step  lr end
 */
    start_function pt_affine_scale_near
    save_all
    movs r1, r0
    adds r1, #NEAR_LOW_PART
    ldm r1!, {r2-r5}
    mov r9, r2
    mov r10, r3
    mov r11, r4
    mov r12, r5
    ldm r0!, {r1, r2, r6}
    ldm r0!, {r4, r5}
    movs r0, r1
    mov lr, r2
    movs r7, #127
    subs r2, r1
    lsls r2, #29
    bpl 1f
    ldm r0!, {r2}               /* an odd number */
    b 3f
1:
    ldm r0!, {r1, r2}           /* 3 */
    scale_near r1, 5f, 2
3:
    scale_near r2, 6f, 4
    cmp r0, lr                  /* 1 */
    bne 1b                      /* 2 */
    restore_all
5:
    bound_near r1, 2b
6:
    bound_near r2, 4b
    .size pt_affine_scale_near, . - pt_affine_scale_near
    .global __stack_pt_affine_scale_near
    .set __stack_pt_affine_scale_near, 36
