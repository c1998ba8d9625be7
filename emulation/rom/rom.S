/*
 * A model of the RP2040's boot ROM for emulators: README.md says what of it is modelled.
 *
 * Addresses and codes are those of the datasheet's section 2.8; the code is our own.
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ XIP_BASE, 0x10000000
    .equ XIP_SSI_BASE, 0x18000000
    .equ SSI_CTRLR0, 0x00
    .equ SSI_SSIENR, 0x08
    .equ SSI_BAUDR, 0x14
    .equ CTRLR0_SPI_BYTES, 7 << 16          /* frames of 8 bits, out and in at once */
    .equ CTRLR0_READ_MEMORY, 31 << 16 | 3 << 8
    .equ WATCHDOG_CTRL_CLEAR, 0x4005b000
    .equ WATCHDOG_ENABLE, 0x40000000
    .equ BOOT2, 0x20041f00                  /* the last 256 bytes of the SRAM that lies in a row */
    .equ BOOT2_SIZE, 256
    .equ CRC32_POLYNOMIAL, 0x04c11db7
    .equ SECTOR_BITS, 12
    .equ SIO_BASE, 0xd0000000
    .equ SIO_FIFO_ST, 0x50
    .equ SIO_FIFO_WR, 0x54
    .equ SIO_FIFO_RD, 0x58
    .equ VTOR, 0xe000ed08

    .macro function name
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endm

    .section .rom, "ax"
    .global rom_vectors
rom_vectors:
    .word BOOT2
    .word rom_reset
    .word rom_fault
    .word rom_fault
    .byte 'M', 'u', 1, 3
    .hword rom_functions
    .hword rom_data
    .hword rom_table_lookup + 1
    .hword 0

    .macro entry first, second, name
    .byte \first, \second
    .hword \name + 1
    .endm

    .balign 4
rom_functions:
    entry 'I', 'F', rom_connect_internal_flash
    entry 'E', 'X', rom_flash_exit_xip
    entry 'R', 'E', rom_flash_range_erase
    entry 'R', 'P', rom_flash_range_program
    entry 'F', 'C', rom_flash_flush_cache
    entry 'C', 'X', rom_flash_enter_cmd_xip
    entry 'U', 'B', rom_reset_to_usb_boot
rom_data:
    .hword 0, 0                             /* ends the functions, and the data: there are none */

/*
 * Core 1 waits to be told 1, vectors, stack and entry (datasheet 2.8.2), and answers each with the
 * same; anything else than a 1 first, as the zeros that come before, begins anew.
 */
function rom_core1
    movs r5, #0                             /* words that it has, from the 1 on */
1:
    ldr r0, [r4, #SIO_FIFO_ST]
    lsrs r0, #1                             /* VLD */
    bcs 2f
    wfe
    b 1b
2:
    ldr r0, [r4, #SIO_FIFO_RD]
    str r0, [r4, #SIO_FIFO_WR]
    sev
    adds r5, #1
    cmp r5, #2
    beq 3f
    bhi 4f
    cmp r0, #1
    beq 1b
    b rom_core1
3:
    movs r6, r0
    b 1b
4:
    cmp r5, #4
    beq 5f
    movs r7, r0
    b 1b
5:
    ldr r1, =VTOR
    str r6, [r1]
    mov sp, r7
    bx r0

/* Copies the second stage to SRAM and goes there with lr 0, if its last word is its CRC-32. */
function rom_reset
    ldr r4, =SIO_BASE
    ldr r0, [r4]                            /* CPUID */
    cmp r0, #0
    bne rom_core1
    bl ssi_bytes
    ldr r0, =XIP_BASE
    ldr r4, =BOOT2
    movs r1, r4
    movs r2, #BOOT2_SIZE / 4
1:
    ldmia r0!, {r3}
    stmia r1!, {r3}
    subs r2, #1
    bne 1b

    subs r5, r1, #4                         /* r4 to before r5: what the CRC is of */
    movs r0, #0
    mvns r0, r0
    ldr r1, =CRC32_POLYNOMIAL
2:
    ldrb r2, [r4]
    lsls r2, #24
    eors r0, r2
    movs r3, #8
3:
    lsls r0, #1
    bcc 4f
    eors r0, r1
4:
    subs r3, #1
    bne 3b
    adds r4, #1
    cmp r4, r5
    bne 2b

    ldr r1, [r5]
    cmp r0, r1
    bne rom_bootsel
    ldr r0, =BOOT2 + 1
    movs r1, #0
    mov lr, r1
    bx r0

/* Stands for the USB drive: emulators know the address. Only a reset leads out of it. */
function rom_bootsel
    b rom_bootsel

/* There is no handler before the program sets VTOR. */
function rom_fault
    b rom_fault

/* (r0: table, r1: code) -> address, or 0. */
function rom_table_lookup
    ldrh r2, [r0]
    ldrh r3, [r0, #2]
    adds r0, #4
    cmp r2, #0
    beq 1f
    cmp r2, r1
    bne rom_table_lookup
    movs r0, r3
    bx lr
1:
    movs r0, #0
    bx lr

/* (r0: pins that show activity, r1: interfaces to leave out), neither of which is modelled. */
function rom_reset_to_usb_boot
    cpsid i
    ldr r0, =WATCHDOG_CTRL_CLEAR
    ldr r1, =WATCHDOG_ENABLE
    str r1, [r0]
    b rom_bootsel

/* The flash takes bytes as commands from here on, and is no memory. */
function rom_connect_internal_flash
function rom_flash_exit_xip
ssi_bytes:
    ldr r1, =CTRLR0_SPI_BYTES
    b ssi_set

/* The flash is memory again, as slow as any flash understands. */
function rom_flash_enter_cmd_xip
    ldr r1, =CTRLR0_READ_MEMORY
ssi_set:
    ldr r0, =XIP_SSI_BASE
    movs r2, #0
    str r2, [r0, #SSI_SSIENR]
    movs r2, #6
    str r2, [r0, #SSI_BAUDR]
    str r1, [r0, #SSI_CTRLR0]
    movs r2, #1
    str r2, [r0, #SSI_SSIENR]
    bx lr

/* There is no cache. */
function rom_flash_flush_cache
    bx lr

/* (r0: offset, r1: bytes, r2: block, r3: its command): whole sectors to 0xff, the last included. */
function rom_flash_range_erase
    lsrs r0, #SECTOR_BITS
    lsls r0, #SECTOR_BITS
    ldr r2, =(1 << SECTOR_BITS) - 1
    adds r1, r2
    bics r1, r2
    beq 2f
    ldr r2, =XIP_BASE
    adds r0, r2
    adds r1, r0
    movs r2, #0
    mvns r2, r2
1:
    stmia r0!, {r2}
    cmp r0, r1
    bne 1b
2:
    bx lr

/* (r0: offset, r1: from, r2: bytes): a flash can only make ones to zeros. */
function rom_flash_range_program
    push {r4, lr}
    ldr r3, =XIP_BASE
    adds r0, r3
    adds r2, r1
    b 2f
1:
    ldrb r3, [r1]
    ldrb r4, [r0]
    ands r3, r4
    strb r3, [r0]
    adds r0, #1
    adds r1, #1
2:
    cmp r1, r2
    bne 1b
    pop {r4, pc}

    .ltorg
