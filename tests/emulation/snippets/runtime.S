/*
 * Around every snippet: vectors, the idle and halt functions that the QEMU target steers by, and a
 * loop that calls `snippet` once per run. The snippet keeps lr and sp, and may use all else.
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .section .vectors, "a"
    .word stack_end
    .word reset
    .word hard_fault            @ NMI
    .word hard_fault

    .text
    .thumb_func
    .type reset, %function
    .global reset
reset:
    bl pt_board_idle
    bl snippet
    b reset
    .size reset, . - reset

/* Only as much of a fault record as the tests look at: the stacked registers. */
    .thumb_func
    .type hard_fault, %function
hard_fault:
    ldr r0, =pt_fault_record
    ldr r1, =0x50544654
    str r1, [r0]
    adds r0, #4
    mov r1, sp
    movs r3, #8
1:  ldmia r1!, {r2}
    stmia r0!, {r2}
    subs r3, #1
    bne 1b
    bl pt_board_halt
    .pool
    .size hard_fault, . - hard_fault

    .section .idle, "ax"
    .balign 1024
    .thumb_func
    .type pt_board_idle, %function
    .global pt_board_idle
pt_board_idle:
    nop
    bx lr
    .size pt_board_idle, . - pt_board_idle

    .thumb_func
    .type pt_board_halt, %function
    .global pt_board_halt
pt_board_halt:
    nop
    b pt_board_halt
    .size pt_board_halt, . - pt_board_halt
    .balign 1024

    .bss
    .balign 8
    .global pt_fault_record, scratch
pt_fault_record:
    .space 72
    .balign 8
scratch:
    .space 256
    .space 1024
stack_end:
