/*
 * What the device tells a USB host about itself: one configuration of three interfaces.
 *
 *   0, 1  a serial port (CDC-ACM): notifications on endpoint 1 IN, data on endpoint 2 IN and OUT
 *   2     picotool's reset interface, of no endpoint (class 0xff, subclass 0, protocol 1)
 *
 * Vendor and product are those that the Pico SDK gives its serial port, 0x2e8a:0x000a, because by
 * these picotool and its udev rules find a running RP2040; the strings are our own. They are on
 * loan from Raspberry Pi for that use: a product needs a number of its own (picotool --vid --pid
 * finds its reset interface all the same).
 *
 * The Microsoft OS 2.0 descriptors bind WinUSB to the reset interface, so that picotool reaches it
 * on Windows too.
 */
#ifndef PT_USB_DESCRIPTORS_H
#define PT_USB_DESCRIPTORS_H

#include <stdint.h>

enum pt_usb_numbers {
    PT_USB_INTERFACE_NOTIFY = 0,
    PT_USB_INTERFACE_DATA = 1,
    PT_USB_INTERFACE_RESET = 2,
    PT_USB_INTERFACES = 3,
    PT_USB_CONFIGURATION = 1,
    PT_USB_PACKET = 64, /* most bytes of a packet, but of a notification */
    PT_USB_NOTIFICATION = 8,
    PT_USB_VENDOR_CODE = 0x20,  /* bRequest of the vendor request for the MS OS 2.0 set ... */
    PT_USB_MS_OS_20_INDEX = 7,  /* ... and its wIndex */
};

struct pt_usb_bytes {
    const uint8_t *from; /* stays until the next call */
    uint32_t size;       /* 0: there is no such descriptor */
};

/* `chip` is the serial number, written in hexadecimal. */
void pt_usb_descriptors_start(const uint8_t chip[8]);

/* `type` and `index` are the high and low byte of GET_DESCRIPTOR's wValue. */
struct pt_usb_bytes pt_usb_descriptor(uint32_t type, uint32_t index);

struct pt_usb_bytes pt_usb_ms_os_20(void);

#endif
