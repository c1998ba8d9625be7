/*
 * Another program that is not ours: toggles the LED of a Pico five times, with a wait between.
 *
 *   blink   5 times 304, less 1 = 1,519: a store to the SIO takes 1 cycle
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ RESETS_CLEARED, 0x4000f000     /* RESETS, the alias that clears bits */
    .equ RESET_DONE, 0x4000c008
    .equ IO_AND_PADS, 1 << 5 | 1 << 8
    .equ GPIO25_CTRL, 0x400140cc
    .equ FUNCTION_SIO, 5
    .equ SIO, 0xd0000000
    .equ GPIO_OE_SET, 0x24
    .equ GPIO_OUT_XOR, 0x1c

    .section .vectors, "a"
    .word stack_top
    .word start
    .word stuck             @ NMI
    .word stuck             @ HardFault

    .text
    .thumb_func
    .type start, %function
    .global start
start:
    ldr r0, =RESETS_CLEARED
    ldr r1, =IO_AND_PADS
    str r1, [r0]
    ldr r0, =RESET_DONE
1:
    ldr r2, [r0]
    ands r2, r1
    cmp r2, r1
    bne 1b
    ldr r0, =GPIO25_CTRL
    movs r2, #FUNCTION_SIO
    str r2, [r0]
    ldr r1, =SIO
    movs r2, #1
    lsls r2, r2, #25
    str r2, [r1, #GPIO_OE_SET]
    bl blink
    .global stuck
    .thumb_func
stuck:
    b stuck
    .size start, . - start

    .thumb_func
    .type blink, %function
    .global blink, blinked
blink:
    movs r0, #5             @ before the first pass of `toggle`
    .global toggle
toggle:
    str r2, [r1, #GPIO_OUT_XOR] @ 1
    movs r3, #100           @ 1
1:
    subs r3, #1             @ 1
    bne 1b                  @ 2, the last time 1: 100 * 3 - 1
    subs r0, #1             @ 1
    bne toggle              @ 2, the last time 1
blinked:
    bx lr
    .size blink, . - blink

    .ltorg

    .bss
    .balign 8
    .space 256
    .global stack_top
stack_top:
