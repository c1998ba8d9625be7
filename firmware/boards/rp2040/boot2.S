/*
 * Second stage of the boot (RP2040 datasheet 2.8.1.3.1): the boot ROM copies the flash's first 256
 * bytes to the end of SRAM and calls them if their CRC-32 is right. It sets the SSI up so that the
 * flash is read through quad I/O in continuous mode (command 0xeb, then addresses only), as the
 * Pico's W25Q16JV and its like take it: 20 flash clocks for a word.
 *
 * With lr 0, as the boot ROM calls it, it goes on at the vector table that follows it in flash.
 * With any other lr it returns there: so does boards/rp2040/flash.c bring the flash back, from a
 * copy. Runs at any address, keeps r4-r7, and needs 20 bytes of stack.
 *
 * The flash clock is clk_sys divided by PT_FLASH_DIVIDER, even. Every wait ends: without a flash
 * that answers this goes on after 3 s at most, and fails at what it then reads.
 */
#include "boards/rp2040/rp2040.h"

    /* 125 MHz / 2 = 62.5 MHz. At 200 MHz / 2 the flash's 7 ns and the pads eat the whole cycle. */
#if PT_CLOCK_MHZ > 133
    .equ PT_FLASH_DIVIDER, 4
#else
    .equ PT_FLASH_DIVIDER, 2
#endif

    .equ PT_WAIT_SSI, 255 /* polls; the longest transfer takes about 40 */
    .equ PT_WAIT_WRITE_LOG, 13 /* 2^13 polls are 0.1 s at the ring oscillator's clock */

    .equ PT_WRITE_STATUS, 0x01
    .equ PT_READ_STATUS_1, 0x05
    .equ PT_WRITE_ENABLE, 0x06
    .equ PT_READ_STATUS_2, 0x35
    .equ PT_READ_QUAD, 0xeb
    .equ PT_STATUS_1_BUSY, 0x01
    .equ PT_STATUS_2_QUAD, 0x02
    .equ PT_CONTINUOUS, 0xa0 /* mode bits: the next read has no command */

    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .section .boot2, "ax"
    .global pt_boot2
    .type pt_boot2, %function
    .thumb_func
    /* r7: the SSI */
pt_boot2:
    push {r4-r7, lr}

    /* A strong clock; data without the Schmitt trigger's delay. */
    ldr r0, =PADS_QSPI_BASE
    movs r1, #PADS_DRIVE_8MA | PADS_SLEWFAST
    str r1, [r0, #PADS_QSPI_SCLK]
    ldr r1, [r0, #PADS_QSPI_SD0]
    movs r2, #PADS_SCHMITT
    bics r1, r2
    str r1, [r0, #PADS_QSPI_SD0]
    str r1, [r0, #PADS_QSPI_SD1]
    str r1, [r0, #PADS_QSPI_SD2]
    str r1, [r0, #PADS_QSPI_SD3]

    /* Bytes out and in. Data are sampled one clk_sys later, for the way through the pads. */
    ldr r7, =XIP_SSI_BASE
    movs r6, #0
    str r6, [r7, #SSI_SSIENR]
    movs r0, #PT_FLASH_DIVIDER
    str r0, [r7, #SSI_BAUDR]
    movs r0, #1
    movs r1, #SSI_RX_SAMPLE_DLY
    str r0, [r7, r1]
    ldr r1, =(7 << SSI_CTRLR0_DFS_32_LSB)
    str r1, [r7, #SSI_CTRLR0]
    str r0, [r7, #SSI_SSIENR]

    /* Quad I/O needs a bit of status 2, once in the flash's life: it stays without power. */
    movs r0, #PT_READ_STATUS_2
    bl read_status
    movs r5, r0
    movs r1, #PT_STATUS_2_QUAD
    tst r5, r1
    bne quad
    orrs r5, r1
    movs r0, #PT_READ_STATUS_1
    bl read_status
    movs r4, r0
    movs r0, #PT_WRITE_ENABLE
    str r0, [r7, #SSI_DR0]
    bl wait_ssi
    movs r0, #PT_WRITE_STATUS
    str r0, [r7, #SSI_DR0]
    str r4, [r7, #SSI_DR0]
    str r5, [r7, #SSI_DR0]
    bl wait_ssi
    movs r4, #1
    lsls r4, #PT_WAIT_WRITE_LOG
1:
    movs r0, #PT_READ_STATUS_1
    bl read_status
    movs r1, #PT_STATUS_1_BUSY
    tst r0, r1
    beq quad
    subs r4, #1
    bne 1b

    /* One read with the command; its mode bits say that no other read will have one. */
quad:
    str r6, [r7, #SSI_SSIENR]
    ldr r0, =(SSI_CTRLR0_SPI_FRF_QUAD | (31 << SSI_CTRLR0_DFS_32_LSB) | SSI_CTRLR0_TMOD_EEPROM_READ)
    str r0, [r7, #SSI_CTRLR0]
    str r6, [r7, #SSI_CTRLR1]
    ldr r0, =((8 << SSI_SPI_CTRLR0_ADDR_L_LSB) | (4 << SSI_SPI_CTRLR0_WAIT_CYCLES_LSB) | \
              SSI_SPI_CTRLR0_INST_L_8B | SSI_SPI_CTRLR0_TRANS_TYPE_1C2A)
    movs r1, #SSI_SPI_CTRLR0
    str r0, [r7, r1]
    movs r5, #1
    str r5, [r7, #SSI_SSIENR]
    movs r0, #PT_READ_QUAD
    str r0, [r7, #SSI_DR0]
    movs r0, #PT_CONTINUOUS
    str r0, [r7, #SSI_DR0]
    bl wait_ssi

    /* From now on the SSI turns reads of memory into such reads. */
    str r6, [r7, #SSI_SSIENR]
    ldr r0, =((PT_CONTINUOUS << SSI_SPI_CTRLR0_XIP_CMD_LSB) | (8 << SSI_SPI_CTRLR0_ADDR_L_LSB) | \
              (4 << SSI_SPI_CTRLR0_WAIT_CYCLES_LSB) | SSI_SPI_CTRLR0_TRANS_TYPE_2C2A)
    movs r1, #SSI_SPI_CTRLR0
    str r0, [r7, r1]
    str r5, [r7, #SSI_SSIENR]

    ldr r0, [sp, #16]
    cmp r0, #0
    beq 2f
    pop {r4-r7, pc}
2:
    ldr r0, =(XIP_BASE + 0x100)
    ldr r1, =VTOR
    str r0, [r1]
    ldmia r0!, {r1, r2}
    msr msp, r1
    bx r2

    /* Ends when all is sent. Changes r2, r3. */
wait_ssi:
    movs r3, #PT_WAIT_SSI
1:
    ldr r2, [r7, #SSI_SR]
    lsrs r2, #1 /* SSI_SR_BUSY */
    bcs 2f
    lsrs r2, #2 /* SSI_SR_TFE */
    bcs 3f
2:
    subs r3, #1
    bne 1b
3:
    bx lr

    /* r0: command -> its answer, after whatever was left to read. Changes r1-r3. */
read_status:
    mov r12, lr
    movs r1, #16
1:
    ldr r2, [r7, #SSI_SR]
    lsrs r2, #4 /* SSI_SR_RFNE */
    bcc 2f
    ldr r2, [r7, #SSI_DR0]
    subs r1, #1
    bne 1b
2:
    str r0, [r7, #SSI_DR0]
    str r0, [r7, #SSI_DR0]
    bl wait_ssi
    ldr r0, [r7, #SSI_DR0]
    ldr r0, [r7, #SSI_DR0]
    bx r12

    .ltorg
    .size pt_boot2, . - pt_boot2
