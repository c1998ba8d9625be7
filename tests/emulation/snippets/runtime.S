/*
 * Around every snippet: vectors, the idle and halt functions that the QEMU target steers by, and a
 * loop that calls `snippet` once per run. The snippet keeps lr and sp, and may use all else.
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

/* Of boards/cortex_m0/fault.c; without it a fault is a lockup. */
    .weak pt_hard_fault

/* Of a snippet that calls it. */
    .weak supervisor

    .section .vectors, "a"
    .word pt_stack_end
    .word reset
    .word pt_hard_fault         @ NMI
    .word pt_hard_fault
    .space 4 * 7
    .word supervisor            @ SVC

    .text
    .thumb_func
    .type reset, %function
    .global reset
reset:
    bl pt_board_idle
    bl snippet
    b reset
    .size reset, . - reset

/* The record is filled. */
    .thumb_func
    .type pt_fault_end, %function
    .global pt_fault_end
pt_fault_end:
    bl pt_board_halt
    .size pt_fault_end, . - pt_fault_end

/* Neither a command nor an operation is under way, for the record of a fault. */
    .balign 4
    .global pt_fault_doing
pt_fault_doing:
    .word 0, 0

    .section .idle, "ax"
    .balign 1024
    .thumb_func
    .type pt_board_idle, %function
    .global pt_board_idle
pt_board_idle:
    ldr r0, 1f
    bx lr
    .balign 4
1:
    .word 0
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
    .global scratch, pt_stack_start, pt_stack_end
scratch:
    .space 256
pt_stack_start:
    .space 1024
pt_stack_end:
