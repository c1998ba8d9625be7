/*
 * Registers and memory of the RP2040's USB controller as a device, under the names of its
 * datasheet (4.1.4, and 4.1.2.5 for the memory). Registers take words only; the memory takes bytes
 * and half words too.
 */
#ifndef PT_USB_REGISTERS_H
#define PT_USB_REGISTERS_H

#include <stdint.h>

#include "boards/rp2040/rp2040.h"

/* 4.1.4: registers. Bits of SIE_STATUS, BUFF_STATUS and EP_ABORT_DONE are cleared by writing 1. */
#define USB_ADDR_ENDP PT_U(0x50110000)
#define USB_MAIN_CTRL PT_U(0x50110040)
#define USB_SOF_RD PT_U(0x50110048) /* reading it ends the interrupt DEV_SOF */
#define USB_SIE_CTRL PT_U(0x5011004c)
#define USB_SIE_STATUS PT_U(0x50110050)
#define USB_BUFF_STATUS PT_U(0x50110058)
#define USB_EP_ABORT PT_U(0x50110060)
#define USB_EP_ABORT_DONE PT_U(0x50110064)
#define USB_EP_STALL_ARM PT_U(0x50110068)
#define USB_USB_MUXING PT_U(0x50110074)
#define USB_USB_PWR PT_U(0x50110078)
#define USB_INTE PT_U(0x50110090)
#define USB_INTS PT_U(0x50110098)

#define USB_MAIN_CTRL_CONTROLLER_EN PT_U(0x1)
#define USB_SIE_CTRL_PULLUP_EN PT_U(0x00010000)
#define USB_SIE_CTRL_EP0_INT_1BUF PT_U(0x20000000)
#define USB_SIE_STATUS_SETUP_REC PT_U(0x00020000)
#define USB_SIE_STATUS_BUS_RESET PT_U(0x00080000)
#define USB_EP_STALL_ARM_EP0_IN PT_U(0x1)
#define USB_EP_STALL_ARM_EP0_OUT PT_U(0x2)
#define USB_USB_MUXING_TO_PHY PT_U(0x1)
#define USB_USB_MUXING_SOFTCON PT_U(0x8)
#define USB_USB_PWR_VBUS_DETECT PT_U(0x4)
#define USB_USB_PWR_VBUS_DETECT_OVERRIDE_EN PT_U(0x8)
#define USB_INT_BUFF_STATUS PT_U(0x00000010)
#define USB_INT_BUS_RESET PT_U(0x00001000)
#define USB_INT_SETUP_REQ PT_U(0x00010000)
#define USB_INT_DEV_SOF PT_U(0x00020000)

/*
 * 4.1.2.5: memory. "Side" is one direction of one endpoint, numbered as the bits of BUFF_STATUS and
 * EP_ABORT are: twice the endpoint, and 1 more if the data goes out of the host.
 */
#define USB_DPRAM PT_U(0x50100000)
#define USB_DPRAM_SIZE PT_U(0x1000)
#define USB_SETUP_PACKET USB_DPRAM
#define USB_EP_CONTROL(side) (USB_DPRAM + 4u * (side)) /* not of endpoint 0 */
#define USB_BUFFER_CONTROL(side) (USB_DPRAM + 0x80u + 4u * (side))
#define USB_EP0_BUFFER PT_U(0x100)  /* offset, as the next */
#define USB_FREE_BUFFERS PT_U(0x180) /* to the end; each buffer aligned to 64 */

#define USB_EP_CONTROL_ENABLE PT_U(0x80000000)
#define USB_EP_CONTROL_INTERRUPT_PER_BUFF PT_U(0x20000000)
#define USB_EP_CONTROL_TYPE_BULK PT_U(0x08000000)
#define USB_EP_CONTROL_TYPE_INTERRUPT PT_U(0x0c000000)
#define USB_BUFFER_FULL PT_U(0x8000)
#define USB_BUFFER_DATA1 PT_U(0x2000)
#define USB_BUFFER_STALL PT_U(0x0800)
#define USB_BUFFER_AVAILABLE PT_U(0x0400)
#define USB_BUFFER_LENGTH PT_U(0x03ff)

/* 2.20: which chip this is */
#define SYSINFO_CHIP_ID PT_U(0x40000000)
#define SYSINFO_CHIP_ID_REVISION_LSB 28 /* 1: B0 and B1, 2: B2 */

#endif
