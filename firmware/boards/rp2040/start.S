/*
 * First instructions of the program, where the second stage jumps to: the cycle counter, then the
 * clocks, so that the rest of start-up runs at full speed; then boards/cortex_m0/start.c.
 *
 * The vectors in flash serve until SRAM has code; board.c moves VTOR to those in SRAM.
 */
#include "boards/rp2040/rp2040.h"

    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .section .vectors, "a"
    .word pt_stack_end
    .word pt_entry
    .rept 46
    .word pt_board_halt
    .endr

    .section .startup, "ax"
    .global pt_entry
    .type pt_entry, %function
    .thumb_func
pt_entry:
    cpsid i
    ldr r0, =SYST_CSR
    ldr r1, =0xffffff
    str r1, [r0, #SYST_RVR - SYST_CSR]
    str r1, [r0, #SYST_CVR - SYST_CSR] /* any write makes it 0; the next cycle reloads it */
    movs r1, #SYST_CSR_CLKSOURCE | SYST_CSR_ENABLE
    str r1, [r0]
    bl pt_clocks_start
    ldr r0, =WATCHDOG_REASON
    ldr r0, [r0]
    cmp r0, #WATCHDOG_REASON_TIMER /* it bit, and nobody kept a record */
    bne 1f
    bl pt_fault_recall
1:
    ldr r0, =pt_reset
    bx r0
    .ltorg
    .size pt_entry, . - pt_entry

    .global __stack_pt_entry
    .set __stack_pt_entry, 0
