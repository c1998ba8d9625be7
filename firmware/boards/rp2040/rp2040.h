/*
 * Registers of the RP2040 that this board uses, under the names of its datasheet, whose sections
 * stand beside them. For C and for the assembler, so only macros.
 */
#ifndef PT_RP2040_H
#define PT_RP2040_H

#ifdef __ASSEMBLER__
#define PT_U(value) value
#else
#include <stdint.h>
#define PT_U(value) value##u
#define PT_REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#endif

/* 2.1.2: peripherals repeat their registers: a write there sets or clears the bits that are 1. */
#define PT_ALIAS_SET PT_U(0x2000)
#define PT_ALIAS_CLEAR PT_U(0x3000)

/* 2.2: address map */
#define XIP_BASE PT_U(0x10000000)

/* 2.3.2: interrupts */
#define TIMER_IRQ_0 0
#define TIMER_IRQ_1 1
#define USBCTRL_IRQ 5
#define UART0_IRQ 20

/* 2.3.1.7: single-cycle IO */
#define SIO_GPIO_HI_IN PT_U(0xd0000008)
#define SIO_GPIO_OUT_SET PT_U(0xd0000014)
#define SIO_GPIO_OUT_CLR PT_U(0xd0000018)
#define SIO_GPIO_OE_SET PT_U(0xd0000024)
#define SIO_GPIO_HI_SS PT_U(0x2)
#define SIO_FIFO_ST PT_U(0xd0000050)
#define SIO_FIFO_WR PT_U(0xd0000054)
#define SIO_FIFO_RD PT_U(0xd0000058)
#define SIO_FIFO_ST_VLD PT_U(0x1)

/* 2.4.8: Cortex-M0+ */
#define SYST_CSR PT_U(0xe000e010)
#define SYST_RVR PT_U(0xe000e014)
#define SYST_CVR PT_U(0xe000e018)
#define NVIC_ISER PT_U(0xe000e100)
#define NVIC_ICER PT_U(0xe000e180)
#define NVIC_ICPR PT_U(0xe000e280)
#define VTOR PT_U(0xe000ed08)
#define MPU_CTRL PT_U(0xe000ed94)
#define MPU_RNR PT_U(0xe000ed98)
#define MPU_RBAR PT_U(0xe000ed9c)
#define MPU_RASR PT_U(0xe000eda0)

#define SYST_CSR_ENABLE PT_U(0x1)
#define SYST_CSR_CLKSOURCE PT_U(0x4) /* the core's clock */
#define MPU_CTRL_ENABLE PT_U(0x1)
#define MPU_CTRL_PRIVDEFENA PT_U(0x4)
#define MPU_RASR_ENABLE PT_U(0x1)
#define MPU_RASR_SIZE_LSB 1 /* the size is 2^(field + 1) */
#define MPU_RASR_XN PT_U(0x10000000)

/* 2.10.6: voltage regulator; VSEL by steps of 50 mV, 0xb is 1.10 V */
#define VREG PT_U(0x40064000)
#define VREG_EN PT_U(0x1)
#define VREG_VSEL_1_15 PT_U(0xc0)

/* 2.13.5: power-on state machine */
#define PSM_FRCE_OFF PT_U(0x40010004)
#define PSM_FRCE_OFF_PROC1 PT_U(0x10000)
#define PSM_WDSEL PT_U(0x40010008)
#define PSM_WDSEL_BITS PT_U(0x1ffff)
#define PSM_WDSEL_ROSC PT_U(0x1)
#define PSM_WDSEL_XOSC PT_U(0x2)

/* 2.14.3: resets of the peripherals */
#define RESETS_RESET PT_U(0x4000c000)
#define RESETS_RESET_DONE PT_U(0x4000c008)
#define RESETS_BITS PT_U(0x01ffffff)
#define RESETS_IO_BANK0 PT_U(0x00000020)
#define RESETS_IO_QSPI PT_U(0x00000040)
#define RESETS_PADS_BANK0 PT_U(0x00000100)
#define RESETS_PADS_QSPI PT_U(0x00000200)
#define RESETS_PLL_SYS PT_U(0x00001000)
#define RESETS_PLL_USB PT_U(0x00002000)
#define RESETS_SYSINFO PT_U(0x00080000)
#define RESETS_TIMER PT_U(0x00200000)
#define RESETS_UART0 PT_U(0x00400000)
#define RESETS_USBCTRL PT_U(0x01000000)

/* 2.15.7: clocks */
#define CLK_REF_CTRL PT_U(0x40008030)
#define CLK_REF_DIV PT_U(0x40008034)
#define CLK_REF_SELECTED PT_U(0x40008038)
#define CLK_SYS_CTRL PT_U(0x4000803c)
#define CLK_SYS_DIV PT_U(0x40008040)
#define CLK_SYS_SELECTED PT_U(0x40008044)
#define CLK_PERI_CTRL PT_U(0x40008048)
#define CLK_USB_CTRL PT_U(0x40008054)
#define CLK_USB_DIV PT_U(0x40008058)
#define CLK_SYS_RESUS_CTRL PT_U(0x40008078)
#define CLK_REF_CTRL_SRC_BITS PT_U(0x3)
#define CLK_REF_CTRL_SRC_ROSC PT_U(0x0)
#define CLK_REF_CTRL_SRC_XOSC PT_U(0x2)
#define CLK_SYS_CTRL_SRC_REF PT_U(0x0)
#define CLK_SYS_CTRL_SRC_AUX PT_U(0x1) /* AUXSRC 0 is PLL_SYS */
#define CLK_PERI_CTRL_ENABLE PT_U(0x800) /* AUXSRC 0 is clk_sys */
#define CLK_USB_CTRL_ENABLE PT_U(0x800) /* AUXSRC 0 is PLL_USB */
#define CLK_DIV_1 PT_U(0x100)

/* 2.16.7: crystal oscillator */
#define XOSC_CTRL PT_U(0x40024000)
#define XOSC_STATUS PT_U(0x40024004)
#define XOSC_STARTUP PT_U(0x4002400c)
#define XOSC_CTRL_ENABLE_1_15MHZ PT_U(0x00fabaa0)
#define XOSC_STATUS_STABLE PT_U(0x80000000)

/* 2.18.4: PLLs; registers are offsets */
#define PLL_SYS_BASE PT_U(0x40028000)
#define PLL_USB_BASE PT_U(0x4002c000)
#define PLL_CS PT_U(0x0)
#define PLL_PWR PT_U(0x4)
#define PLL_FBDIV_INT PT_U(0x8)
#define PLL_PRIM PT_U(0xc)
#define PLL_CS_LOCK PT_U(0x80000000)
#define PLL_PWR_PD PT_U(0x1)
#define PLL_PWR_POSTDIVPD PT_U(0x8)
#define PLL_PWR_VCOPD PT_U(0x20)
#define PLL_PRIM_POSTDIV1_LSB 16
#define PLL_PRIM_POSTDIV2_LSB 12

/* 2.19.6: pins and pads */
#define GPIO0_CTRL PT_U(0x40014004)
#define GPIO1_CTRL PT_U(0x4001400c)
#define GPIO25_CTRL PT_U(0x400140cc)
#define GPIO_FUNCSEL_UART PT_U(2)
#define GPIO_FUNCSEL_SIO PT_U(5)
#define PADS_GPIO1 PT_U(0x4001c008)
#define PADS_GPIO26 PT_U(0x4001c06c)
#define PADS_ADC_PINS 4u
#define IO_QSPI_SS_CTRL PT_U(0x4001800c)
#define IO_QSPI_OUTOVER_NORMAL PT_U(0x000)
#define IO_QSPI_OUTOVER_LOW PT_U(0x200)
#define IO_QSPI_OUTOVER_HIGH PT_U(0x300)
#define IO_QSPI_OEOVER_DISABLE PT_U(0x2000)
#define PADS_QSPI_BASE PT_U(0x40020000)
#define PADS_QSPI_SCLK PT_U(0x04)
#define PADS_QSPI_SD0 PT_U(0x08)
#define PADS_QSPI_SD1 PT_U(0x0c)
#define PADS_QSPI_SD2 PT_U(0x10)
#define PADS_QSPI_SD3 PT_U(0x14)
#define PADS_SLEWFAST PT_U(0x01)
#define PADS_SCHMITT PT_U(0x02)
#define PADS_PUE PT_U(0x08)
#define PADS_DRIVE_8MA PT_U(0x20)
#define PADS_IE PT_U(0x40)

/* 4.2.8: UART */
#define UARTDR PT_U(0x40034000)
#define UARTFR PT_U(0x40034018)
#define UARTIBRD PT_U(0x40034024)
#define UARTFBRD PT_U(0x40034028)
#define UARTLCR_H PT_U(0x4003402c)
#define UARTCR PT_U(0x40034030)
#define UARTIFLS PT_U(0x40034034)
#define UARTIMSC PT_U(0x40034038)
#define UARTICR PT_U(0x40034044)
#define UARTFR_BUSY PT_U(0x08)
#define UARTFR_RXFE PT_U(0x10)
#define UARTFR_TXFF PT_U(0x20)
#define UARTLCR_H_FEN PT_U(0x10)
#define UARTLCR_H_WLEN_8 PT_U(0x60)
#define UARTCR_UARTEN PT_U(0x001)
#define UARTCR_TXE PT_U(0x100)
#define UARTCR_RXE PT_U(0x200)
#define UARTIFLS_RX_QUARTER PT_U(0x08)
#define UART_INT_RX PT_U(0x10)
#define UART_INT_RX_TIMEOUT PT_U(0x40)

/* 4.6.5: timer; TIMELR latches TIMEHR */
#define TIMEHR PT_U(0x40054008)
#define TIMELR PT_U(0x4005400c)
#define TIMER_ALARM0 PT_U(0x40054010)
#define TIMER_ALARM1 PT_U(0x40054014)
#define TIMERAWL PT_U(0x40054028)
#define TIMER_INTR PT_U(0x40054034)
#define TIMER_INTE PT_U(0x40054038)

/* 4.7.6: watchdog */
#define WATCHDOG_CTRL PT_U(0x40058000)
#define WATCHDOG_LOAD PT_U(0x40058004)
#define WATCHDOG_REASON PT_U(0x40058008)
#define WATCHDOG_REASON_TIMER PT_U(0x1)
#define WATCHDOG_SCRATCH2 PT_U(0x40058014)
#define WATCHDOG_SCRATCH3 PT_U(0x40058018)
#define WATCHDOG_SCRATCH4 PT_U(0x4005801c)
#define WATCHDOG_TICK PT_U(0x4005802c)
#define WATCHDOG_CTRL_PAUSE_DBG0 PT_U(0x02000000)
#define WATCHDOG_CTRL_PAUSE_DBG1 PT_U(0x04000000)
#define WATCHDOG_CTRL_PAUSE_JTAG PT_U(0x01000000)
#define WATCHDOG_CTRL_ENABLE PT_U(0x40000000)
#define WATCHDOG_CTRL_TRIGGER PT_U(0x80000000)
#define WATCHDOG_LOAD_BITS PT_U(0xffffff)
#define WATCHDOG_TICK_ENABLE PT_U(0x200)

/* 4.10.13: SSI, the flash's serial interface; registers are offsets */
#define XIP_SSI_BASE PT_U(0x18000000)
#define SSI_CTRLR0 PT_U(0x00)
#define SSI_CTRLR1 PT_U(0x04)
#define SSI_SSIENR PT_U(0x08)
#define SSI_BAUDR PT_U(0x14)
#define SSI_SR PT_U(0x28)
#define SSI_DR0 PT_U(0x60)
#define SSI_RX_SAMPLE_DLY PT_U(0xf0)
#define SSI_SPI_CTRLR0 PT_U(0xf4)
#define SSI_CTRLR0_SPI_FRF_QUAD PT_U(0x00400000)
#define SSI_CTRLR0_DFS_32_LSB 16 /* bits of a frame, less 1 */
#define SSI_CTRLR0_TMOD_EEPROM_READ PT_U(0x300)
#define SSI_SPI_CTRLR0_XIP_CMD_LSB 24
#define SSI_SPI_CTRLR0_WAIT_CYCLES_LSB 11
#define SSI_SPI_CTRLR0_INST_L_8B PT_U(0x200)
#define SSI_SPI_CTRLR0_ADDR_L_LSB 2 /* in units of 4 bits */
#define SSI_SPI_CTRLR0_TRANS_TYPE_1C2A PT_U(0x1)
#define SSI_SPI_CTRLR0_TRANS_TYPE_2C2A PT_U(0x2)
#define SSI_SR_BUSY PT_U(0x1)
#define SSI_SR_TFE PT_U(0x4)
#define SSI_SR_RFNE PT_U(0x8)

#endif
