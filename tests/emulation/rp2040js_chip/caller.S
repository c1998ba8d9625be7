/*
 * The smallest flash image: a second stage that calls functions for the test, which writes the
 * words of `job` and sets `function` last. Linked where the boot ROM copies it to.
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ job, 0x20000000                /* function, r0-r3 */
    .global job

    .section .text, "ax"
    .global start
    .type start, %function
    .thumb_func
start:
    mov r0, lr
    ldr r4, =job
    str r0, [r4, #4]
    movs r0, #0
    str r0, [r4]
    .global pt_board_idle
    .type pt_board_idle, %function
    .thumb_func
pt_board_idle:
    nop
    ldr r5, [r4]
    cmp r5, #0
    beq pt_board_idle
    ldr r0, [r4, #4]
    ldr r1, [r4, #8]
    ldr r2, [r4, #12]
    ldr r3, [r4, #16]
    .global call
    .type call, %function
    .thumb_func
call:
    blx r5
    str r0, [r4, #4]
    movs r0, #0
    str r0, [r4]
    b pt_board_idle
    .ltorg

    /* Functions to call; all end with BX LR. */
    .macro function name
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endm

function peek
    ldr r0, [r0]
    bx lr

function poke
    str r1, [r0]
    bx lr

function signal
    sev
    bx lr

/* (r0: address, r1: how often it is read) */
function loads
    ldr r2, [r0]
    subs r1, #1
    bne loads
    bx lr

/* Core 1 writes its number, loads as told, and what remains then; asleep for good after that. */
function second
    ldr r0, =0xd0000000
    ldr r0, [r0]
    ldr r4, =second_job
    str r0, [r4, #8]
    ldr r0, [r4]
    ldr r1, [r4, #4]
    bl loads
    str r1, [r4, #12]
1:
    wfe
    b 1b

    .equ second_job, 0x20000100         /* address, count; number, 0 at the end */
    .global second_job

function read_half
    ldrh r0, [r0]
    bx lr

function branch
    bx r0

function undefined
    udf #7

function unknown
    .hword 0xb800
    bx lr

/* (r0: SYST_CVR) -> cycles from one read to the next, with a call and returns between */
function ticks
    push {r4, lr}
    ldr r4, [r0]
    bl 1f
    nop
    ldr r2, [r0]
    subs r0, r4, r2
    pop {r4, pc}
1:
    push {r4, r5, lr}
    pop {r4, r5, pc}

/* (r0: address, r1: reads) -> how many of the reads were 0 */
function zeros
    movs r2, #0
1:
    ldr r3, [r0]
    cmp r3, #0
    bne 2f
    adds r2, #1
2:
    subs r1, #1
    bne 1b
    movs r0, r2
    bx lr

/* (r0: NVIC_ISPR, r1: interrupts) -> after WFI, with these pending and masked */
function sleeps_masked
    cpsid i
    str r1, [r0]
    wfi
    bx lr
